//! Orders in words, and what they mean.

use std::time::Duration;

use super::super::testing::request;
use super::*;

/// What an order means: where it looks, and which of some keys it means there.
fn meaning(url: Option<&str>, words: &str, recipe: &Recipe) -> (Among, Vec<&'static str>) {
    let url = url.map(|url| Url::parse(url).unwrap());
    let Search { among, keys, .. } = Order::read(url, words).unwrap().search(recipe);
    (among, KEYS.into_iter().filter(|key| keys.are_any() || keys.have(key.as_bytes())).collect())
}

const KEYS: [&str; 6] = [
    "http://shop.example/a",
    "https://shop.example/a",
    "http://shop.example/img/1.png x=/a",
    "http://a.shop.example/a",
    "http://shop.example:81/a",
    "http://other.example/img/1.png?q=1",
];

fn urls(urls: &[&str]) -> Among {
    Among::Urls(urls.iter().map(|url| (*url).to_owned()).collect())
}

fn prefixes(urls: &[&str]) -> Among {
    Among::Prefixes(urls.iter().map(|url| (*url).to_owned()).collect())
}

fn named(tags: &[&str]) -> Among {
    Among::Tags(
        tags.iter()
            .map(|tag| tag.strip_prefix("group ").map_or(Tag::key(tag), |tag| Tag::group("http://shop.example", tag)))
            .collect(),
    )
}

#[test]
fn words_say_where_and_which() {
    let url = Some("http://shop.example/a");
    let all: &[usize] = &[0, 1, 2, 3, 4, 5];
    for (url, words, among, keys) in [
        (url, "", urls(&["http://shop.example/a"]), all),
        (url, "scheme=*", urls(&["http://shop.example/a", "https://shop.example/a"]), all),
        (url, "scheme=https", urls(&["https://shop.example/a"]), all),
        (url, "host=Other.Example:81", urls(&["http://other.example:81/a"]), all),
        (url, "host=*", Among::All, &[0, 3, 4]),
        (url, "host=*, scheme=*", Among::All, &[0, 1, 3, 4]),
        (url, "host=*.shop.example", Among::All, &[3]),
        (url, "prefix", prefixes(&["http://shop.example/a"]), all),
        (url, "prefix, scheme=*", prefixes(&["http://shop.example/a", "https://shop.example/a"]), all),
        (url, "prefix, host=*", Among::All, &[0, 3, 4]),
        (url, "match=a$", prefixes(&["http://shop.example/"]), &[0, 1, 3, 4]),
        (url, r#"match="^/img/[0-9]{1,3}\.png""#, prefixes(&["http://shop.example/"]), &[2, 5]),
        (url, "match=^/a$, match=q=", prefixes(&["http://shop.example/"]), &[0, 1, 3, 4, 5]),
        (url, "match=^/img, prefix", prefixes(&["http://shop.example/a"]), &[2, 5]),
        (url, "match=png, host=*", Among::All, &[2, 5]),
        (None, "match=png", Among::All, &[2, 5]),
        (None, "match=png, host=other.example", Among::All, &[5]),
        (None, "match=^/a, scheme=https", Among::All, &[1]),
        (url, "all", Among::All, all),
        (None, "all", Among::All, all),
        (url, "all, host=shop.example", Among::All, &[0, 1, 2]),
        (url, "all, scheme=https", Among::All, &[1]),
        (url, "all, host=*.example", Among::All, &[0, 1, 2, 3, 5]),
        (None, "tag=x", named(&["x"]), all),
        (url, "tag=x, tag=y", named(&["x", "group x", "y", "group y"]), all),
        (url, "tag=x, prefix", named(&["x", "group x"]), &[0]),
        (url, "tag=x, match=png", named(&["x", "group x"]), &[2]),
        (None, "tag=x, host=*.shop.example", named(&["x"]), &[3]),
    ] {
        let keys: Vec<_> = keys.iter().map(|at| KEYS[*at]).collect();
        assert_eq!(meaning(url, words, &Recipe::default()), (among, keys), "{url:?} {words}");
    }
    let of = Url::of(&request("PURGE", "/a?b", &[]));
    assert_eq!(Order::read(Some(of), "").unwrap().search(&Recipe::default()).among, urls(&["http://shop.example/a?b"]));
}

#[test]
fn words_say_which_of_these() {
    for (words, older_than, kind, is_meant, is_soft) in [
        ("", None, "200 text/html", true, false),
        ("soft", None, "200 text/html", true, true),
        ("older-than=90s, soft", Some(90), "200 text/html", true, true),
        ("status=4xx", None, "200 text/html", false, false),
        ("status=4xx,status=200", None, "200 text/html", true, false),
        ("status=200, type=image/*", None, "200 text/html", false, false),
        ("type=image/*,type=Text/HTML", None, "200 text/html", true, false),
    ] {
        let order = Order::read(Some(Url::parse("//a/").unwrap()), words).unwrap();
        let search = order.search(&Recipe::default());
        assert_eq!((search.older_than, order.is_soft), (older_than.map(Duration::from_secs), is_soft), "{words}");
        assert_eq!(search.has_kind(kind), is_meant, "{words}");
        assert_eq!(search.is_any_kind(), !words.contains("status") && !words.contains("type"), "{words}");
    }
}

/// Where keys have no scheme or host, all are one.
#[test]
fn keys_without_scheme_or_host_are_everybody_s() {
    let url = Some("https://shop.example:443/a;id=1?q=1");
    let recipe =
        Recipe { sessions: vec!["id".to_owned()], query: super::super::key::Query::Nothing, ..Recipe::default() };
    assert_eq!(meaning(url, "", &recipe).0, urls(&["https://shop.example/a"]));
    for (any_scheme, any_host, key, other) in
        [(true, false, "//shop.example/a", "//x/a"), (false, true, "https:///a", "http:///a"), (true, true, "///a", "")]
    {
        let recipe = Recipe { any_scheme, any_host, ..recipe.clone() };
        assert_eq!(meaning(url, "", &recipe).0, urls(&[key]));
        for words in [
            "tag=x, prefix",
            "tag=x, match=^/a$",
            "tag=x, match=a, host=shop.example",
            "all, host=shop.example, scheme=https",
        ] {
            let keys = Order::read(url.map(|url| Url::parse(url).unwrap()), words).unwrap().search(&recipe).keys;
            let has = |key: &str| keys.are_any() || keys.have(key.as_bytes());
            assert!(has(key), "{words} {key}");
            assert!(other.is_empty() || !has(other), "{words} {other}");
        }
    }
}

#[test]
fn what_is_no_order_says_what_would_be_one() {
    let url = Some("http://shop.example/a");
    let long = format!("match={}", "a".repeat(LONGEST_PATTERN + 1));
    let many = "match=a,".repeat(MOST_PATTERNS + 1);
    for (url, words, why) in [
        (
            url,
            "sof",
            "\"sof\" is not a word here (did you mean \"soft\"?); known: all, prefix, soft, host=.., match=.., older-than=.., scheme=.., status=.., tag=.., type=..",
        ),
        (url, "tag", "tag wants a value, as in tag=news"),
        (url, "tag=", "tag wants a value, as in tag=news"),
        (url, "soft=1", "soft takes no value"),
        (url, "older-than=1", "older-than cannot be \"1\"; right would be older-than=1h"),
        (url, "status=4x", "status cannot be \"4x\"; right would be status=404 or 4xx"),
        (url, "type=html", "type cannot be \"html\"; right would be type=text/html or image/*"),
        (url, "scheme=ftp", "scheme cannot be \"ftp\"; right would be scheme=*"),
        (url, "host=a/b", "host cannot be \"a/b\"; right would be host=*.shop.example"),
        (url, "match=(", "\"(\" is not a pattern: unclosed group"),
        (url, "match=(a{999}){999}", "\"(a{999}){999}\" is not a pattern: it is too large"),
        (url, &long, "is not a pattern: it is too long"),
        (url, &many, "there are more than 8 patterns"),
        (url, "match=\"a", "the quotation mark behind match= is not closed"),
        (url, "all, prefix", "all and prefix cannot both be meant"),
        (url, "all, match=a", "all and match cannot both be meant"),
        (url, "tag=a, all", "all and tag cannot both be meant"),
        (url, "all, host=a, host=b", "host is said twice"),
        (url, "scheme=http, scheme=https", "scheme is said twice"),
        (url, "all, older-than=1h, older-than=2h", "older-than is said twice"),
        (None, "prefix", "prefix needs a URL"),
        (None, "soft", "nothing is meant: name a URL, or say all, match=.. or tag=.."),
    ] {
        let url = url.map(|url| Url::parse(url).unwrap());
        let error = Order::read(url, words).unwrap_err().to_string();
        assert!(error.ends_with(why), "{words}: {error}");
    }
}

/// Patterns take linear time, also where others take for ever.
#[test]
fn no_pattern_takes_for_ever() {
    let order = Order::read(None, "match=^(/a|/a/?)+$").unwrap();
    let Search { keys, .. } = order.search(&Recipe::default());
    let key = format!("http://h{}b", "/a".repeat(30_000));
    assert!(!keys.have(key.as_bytes()));
}
