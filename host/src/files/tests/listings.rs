//! Directories.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn a_directory_is_its_index_or_its_listing_or_forbidden() {
    let tree = Tree::new();
    tree.write("both/index.html", "html");
    tree.write("both/index.htm", "htm");
    tree.write("second/index.htm", "htm");
    tree.write("odd/index.html/x", "a directory of that name");
    tree.write("odd/index.htm", "htm");
    tree.write("none/x", "x");
    tree.write("index.html", "top");
    let index = || vec!["index.html".to_owned(), "index.htm".to_owned()];
    run(async {
        let served = Served::anew(Root { index: index(), ..tree.root() });
        for (path, expected) in [
            ("", Ok("top")),
            ("both/", Ok("html")),
            ("second/", Ok("htm")),
            ("odd/", Ok("htm")),
            ("none/", Err(Kind::FileForbidden)),
            ("both", Err(Kind::NoFile)),
            ("nowhere/", Err(Kind::NoFile)),
            ("index.html/", Err(Kind::NoFile)),
        ] {
            assert_eq!(served.text(path).await.as_deref().map_err(|kind| *kind), expected, "{path}");
        }
        let (head, _) = served.ask(Request::get(), b"both/").await.unwrap();
        assert_eq!(field(&head, "content-type"), Some("text/html"));
        let listing = Served::anew(Root { index: index(), listing: true, ..tree.root() });
        assert_eq!(listing.text("both/").await.unwrap(), "html");
        assert!(
            listing
                .text("none/")
                .await
                .unwrap()
                .contains("<a href=\"x\">x</a><td align=\"right\">1<td>1994-11-06 08:49:37")
        );
    });
}

#[test]
fn a_slash_that_is_missing_is_told() {
    let tree = Tree::new();
    tree.write("d/index.html", "index");
    run(async {
        let served = Served::anew(tree.root());
        for (known_as, location) in
            [("/shop/d", "/shop/d/?query"), ("/d%20e", "/d%20e/?query"), ("//evil.example", "/evil.example/?query")]
        {
            let (head, body) = served.ask(Request::get().known_as(known_as), b"d").await.unwrap();
            assert_eq!((head.status.as_u16(), field(&head, "location")), (301, Some(location)));
            assert_eq!(field(&head, "content-length"), Some("0"));
            assert!(matches!(body, Body::Empty));
        }
        let mut request = Request::get().known_as("/d");
        request.head.set_target("/d".parse().unwrap());
        let (head, _) = served.ask(request, b"d").await.unwrap();
        assert_eq!(field(&head, "location"), Some("/d/"));
    });
}

#[test]
fn listings_show_what_would_be_served() {
    let tree = Tree::new();
    for name in ["b & <i>.txt", "a:b", "Z", ".hidden", "sub/x", "javascript:alert(1)", "\"quoted\""] {
        tree.write(name, "12345");
    }
    fs::write(tree.path("secret"), "x").unwrap();
    let path = |name: &str| tree.path("srv").join(name);
    symlink("../secret", path("out")).unwrap();
    symlink("Z", path("inside")).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    run(async {
        let served = Served::anew(Root { listing: true, ..tree.root() });
        let page = served.text("").await.unwrap();
        let shown: Vec<_> = page.split("<a href=\"").skip(1).map(|rest| rest.split("</a>").next().unwrap()).collect();
        assert_eq!(
            shown,
            [
                "sub/\">sub/",
                "%22quoted%22\">&quot;quoted&quot;",
                "Z\">Z",
                "a%3Ab\">a:b",
                "b%20%26%20%3Ci%3E.txt\">b &amp; &lt;i&gt;.txt",
                "inside\">inside",
                "javascript%3Aalert%281%29\">javascript:alert(1)",
            ]
        );
        assert!(served.text("sub/").await.unwrap().contains("<a href=\"../\">"));
        let denied =
            Served::anew(Root { listing: true, hidden: true, symlinks: config::Symlinks::Deny, ..tree.root() });
        let page = denied.text("").await.unwrap();
        assert!(page.contains(".hidden") && !page.contains("inside"));
        let page = served.ask(Request::get().known_as("/<x>/"), b"").await.unwrap();
        assert!(read(page.1).await.unwrap().contains("<h1>/&lt;x&gt;/</h1>"));
    });
}

#[test]
fn listings_in_json() {
    let tree = Tree::new();
    tree.write("b\"", "12345");
    tree.write("a/x", "x");
    run(async {
        let served = Served::anew(Root { listing: true, ..tree.root() });
        let (head, body) = served.ask(Request::get().with("accept", "application/json"), b"").await.unwrap();
        assert_eq!(field(&head, "content-type"), Some("application/json"));
        assert_eq!((field(&head, "vary"), field(&head, "etag")), (Some("Accept"), None));
        let text = read(body).await.unwrap();
        assert_eq!(field(&head, "content-length"), Some(text.len().to_string().as_str()));
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["complete"], true);
        assert_eq!(found["entries"][0]["name"], "a");
        assert_eq!(found["entries"][0]["type"], "directory");
        let file = serde_json::json!({
            "name": "b\"", "href": "b%22", "type": "file", "size": 5, "modified": "1994-11-06T08:49:37Z",
        });
        assert_eq!(found["entries"][1], file);
        let (head, body) = served.ask(Request::of(Method::HEAD).with("accept", "application/json"), b"").await.unwrap();
        assert_eq!(field(&head, "content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(read(body).await.unwrap(), "");
    });
}
