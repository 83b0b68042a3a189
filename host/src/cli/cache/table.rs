//! What a gateway says of its caches, for eyes.

use serde_json::Value;

/// Bytes in a unit, largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// What the content of is in the cache, when a request ends so.
const FROM_CACHE: [&str; 4] = ["hit", "stale", "revalidated", "collapsed"];

/// Every cache, one a line.
pub(super) fn all(answer: &Value) -> String {
    let heads = ["CACHE", "REQUESTS", "FROM CACHE", "IN MEMORY", "ON DISK", "EVICTED"].map(str::to_owned);
    let caches = answer["caches"].as_array().map(Vec::as_slice).unwrap_or_default();
    if caches.is_empty() {
        return "no caches\n".to_owned();
    }
    let lines: Vec<[String; 6]> = std::iter::once(heads).chain(caches.iter().map(line)).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (text, width))| match column {
                0 | 3 | 4 => format!("{text:<width$}"),
                _ => format!("{text:>width$}"),
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// One cache, with all there is to know.
pub(super) fn one(cache: &Value) -> String {
    let by_outcome = |key: &str, write: fn(u64) -> String| -> String {
        let pairs = cache[key].as_object().into_iter().flatten();
        pairs.map(|(word, number)| format!("{word} {}", write(count(number)))).collect::<Vec<_>>().join(", ")
    };
    let shelf = |key: &str| match &cache[key] {
        Value::Null => "nothing".to_owned(),
        shelf => format!(
            "{}, {} of {}, {} stored, {} evicted, {} purged, {} not written, {} not read",
            objects(&shelf["objects"]),
            size(count(&shelf["bytes"])),
            size(count(&shelf["capacity"])),
            count(&shelf["stores"]),
            count(&shelf["evictions"]),
            count(&shelf["purged"]),
            count(&shelf["write_failures"]),
            count(&shelf["read_failures"]),
        ),
    };
    let still_read = if cache["complete"] == Value::Bool(false) { "; what is there is still being read" } else { "" };
    let lines = [
        ("in memory", shelf("memory")),
        ("on disk", shelf("disk") + still_read),
        ("requests", by_outcome("requests", |number| number.to_string())),
        ("bytes", by_outcome("bytes", size)),
        ("refreshes", count(&cache["refreshes"]).to_string()),
        ("in flight", count(&cache["flights"]).to_string()),
    ];
    lines.iter().map(|(name, text)| format!("{name:<9}  {text}\n")).collect()
}

/// `1 object`, `2 objects`.
pub(super) fn objects(number: &Value) -> String {
    match count(number) {
        1 => "1 object".to_owned(),
        number => format!("{number} objects"),
    }
}

fn line(cache: &Value) -> [String; 6] {
    let shelf = |key: &str| match &cache[key] {
        Value::Null => "-".to_owned(),
        shelf => {
            let (bytes, capacity) = (size(count(&shelf["bytes"])), size(count(&shelf["capacity"])));
            format!("{}, {bytes} of {capacity}", count(&shelf["objects"]))
        }
    };
    let sum = |words: &mut dyn Iterator<Item = &Value>| words.map(count).fold(0, u64::saturating_add);
    let requests = sum(&mut cache["requests"].as_object().into_iter().flat_map(|all| all.values()));
    let answered = sum(&mut FROM_CACHE.iter().map(|word| &cache["requests"][word]));
    let evicted = sum(&mut ["memory", "disk"].iter().map(|shelf| &cache[shelf]["evictions"]));
    [
        cache["name"].as_str().unwrap_or_default().to_owned(),
        requests.to_string(),
        share(answered, requests),
        shelf("memory"),
        shelf("disk"),
        evicted.to_string(),
    ]
}

fn count(number: &Value) -> u64 {
    number.as_u64().unwrap_or(0)
}

/// In percent, to a tenth.
fn share(part: u64, whole: u64) -> String {
    let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole));
    tenths.map_or_else(|| "-".to_owned(), |tenths| format!("{}.{}%", tenths / 10, tenths % 10))
}

/// In the largest unit of which there is one, to a tenth.
fn size(bytes: u64) -> String {
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, u128::from(bytes % unit) * 10 / u128::from(unit)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cache(name: &str) -> Value {
        json!({
            "name": name,
            "memory": { "objects": 3, "bytes": 1536, "capacity": 67_108_864, "stores": 8, "evictions": 4, "purged": 1, "write_failures": 0, "read_failures": 0 },
            "disk": null,
            "complete": true,
            "flights": 1,
            "requests": { "hit": 5, "stale": 1, "revalidated": 0, "collapsed": 0, "miss": 3, "bypass": 0, "unavailable": 0 },
            "bytes": { "hit": 2048, "miss": 10 },
            "refreshes": 2,
        })
    }

    #[test]
    fn caches_stand_below_each_other() {
        let text = all(&json!({ "caches": [cache("pages"), cache("a")] }));
        let expected = "\
CACHE  REQUESTS  FROM CACHE  IN MEMORY             ON DISK  EVICTED
pages         9       66.6%  3, 1.5 KiB of 64 MiB  -              4
a             9       66.6%  3, 1.5 KiB of 64 MiB  -              4
";
        assert_eq!(text, expected);
        assert_eq!(all(&json!({})), "no caches\n");
    }

    #[test]
    fn one_cache_tells_everything() {
        let expected = "\
in memory  3 objects, 1.5 KiB of 64 MiB, 8 stored, 4 evicted, 1 purged, 0 not written, 0 not read
on disk    nothing
requests   hit 5, stale 1, revalidated 0, collapsed 0, miss 3, bypass 0, unavailable 0
bytes      hit 2 KiB, miss 10 B
refreshes  2
in flight  1
";
        assert_eq!(one(&cache("pages")), expected);
    }

    #[test]
    fn sizes_and_shares_are_short() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1 << 30, "1 GiB"), (u64::MAX, "16777215.9 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
        for (part, whole, text) in [(0, 0, "-"), (1, 3, "33.3%"), (u64::MAX, u64::MAX, "100.0%")] {
            assert_eq!(share(part, whole), text);
        }
    }
}
