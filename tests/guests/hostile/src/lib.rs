use weir_filter::{Action, Edits, Filter, Plan, Request};
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello { greeting: String }
impl Filter for Hello {
    type Settings = Hello;
    fn configure(settings: Hello) -> Result<Self, String> { Ok(settings) }
    fn plan(&self) -> Plan { Plan::new().on_request() }
    fn on_request(&mut self, r: &Request) -> Action {
        if r.path() == "/panic" { panic!("oh {}", r.id()) }
        Edits::new().set_header("x-greeting", self.greeting.as_str()).into()
    }
}
weir_filter::export!(Hello);
