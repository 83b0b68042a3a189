//! Settings from the JSON that the gateway hands over, and words for the operator when they do not fit.

use serde::de::DeserializeOwned;

/// A fault names the field: `rule[1].status: invalid type: string "x", expected u16`. `()` takes an empty table.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let fault = match serde_path_to_error::deserialize(&mut reader) {
        Ok(settings) => return Ok(settings),
        Err(fault) => fault,
    };
    if json.trim() == "{}" {
        if let Ok(unit) = serde_json::from_str("null") {
            return Ok(unit);
        }
    }
    let path = fault.path().to_string();
    let said = fault.into_inner().to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    Err(if path == "." { said.to_owned() } else { format!("{path}: {said}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        rule: Vec<Rule>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Rule {
        status: u16,
    }

    #[test]
    fn a_fault_names_its_field() {
        for (json, said) in [
            ("{}", "missing field `rule`"),
            (r#"{"rule":7}"#, "rule: invalid type: integer `7`, expected a sequence"),
            (r#"{"rule":[{"status":1},{"status":"x"}]}"#, "rule[1].status: invalid type: string \"x\", expected u16"),
            (r#"{"rule":[{"sttus":1}]}"#, "rule[0].sttus: unknown field `sttus`, expected `status`"),
            (r#"{"rule":[{}]}"#, "rule[0]: missing field `status`"),
        ] {
            assert_eq!(parse::<Settings>(json).unwrap_err(), said, "{json}");
        }
    }

    #[test]
    fn no_settings_fit_where_none_are_wanted() {
        assert_eq!(parse::<()>("{}"), Ok(()));
        assert!(parse::<()>(r#"{"a":1}"#).is_err());
    }
}
