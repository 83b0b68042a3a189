use std::path::Path;

use crate::config;
use crate::message::Value;

pub(super) fn root(path: &Path) -> config::Root {
    config::Root {
        name: "it".into(),
        path: path.to_owned(),
        symlinks: config::Symlinks::Beneath,
        hidden: false,
        index: vec!["index.html".to_owned()],
        listing: false,
        precompressed: Vec::new(),
        content_types: Vec::new(),
        default_type: Value::from_static("application/octet-stream"),
        charset: None,
        cache_control: None,
        accel: true,
        temporary: false,
        place: config::Place { file: "weir.toml".into(), line: 3, column: 1 },
    }
}
