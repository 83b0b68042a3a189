//! TLS of a plan, looked at when the generation is built: certificates, keys and names that are none are found here, on a
//! thread that may wait for the disk, and not when the first client comes.

use std::sync::Arc;

use crate::config::{self, Place, Plan, Problem};
use crate::tls;

/// What is wrong with TLS to members.
pub(super) fn members(pools: &[config::Pool]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pool in pools {
        for member in &pool.members {
            let transport = &member.transport;
            if let Some(Err(error)) = transport.tls.as_ref().map(|plan| tls::Client::of(plan, transport.protocol)) {
                let text = format!("pool \"{}\": member \"{}\": TLS: {error}", pool.name, member.name);
                problems.push(Problem::at(&member.place, text));
            }
        }
        let checks = pool.health.as_ref().and_then(|health| health.tls.as_ref()?.as_ref());
        if let Some(Err(error)) = checks.map(|plan| tls::Client::of(plan, config::Protocol::Auto)) {
            problems.push(Problem::at(&pool.place, format!("pool \"{}\": health checks: TLS: {error}", pool.name)));
        }
    }
    problems
}

/// TLS towards clients, by listener.
///
/// # Errors
/// Everything that is wrong with it, each at the place where it was written.
pub(super) fn doors(plan: &Plan, tickets: &tls::Tickets) -> Result<Vec<Option<Arc<tls::Server>>>, Vec<Problem>> {
    let mut problems = Vec::new();
    for site in &plan.sites {
        let who = format!("site \"{}\"", site.name);
        tell(&mut problems, &site.place, &who, tls::examine(&site.certificates, &site.hosts));
    }
    for listener in &plan.listeners {
        let Some(tls) = &listener.tls else { continue };
        let who = format!("listener \"{}\"", listener.name);
        tell(&mut problems, &listener.place, &who, tls::examine(&tls.certificates, &[]));
        tell(&mut problems, &listener.place, &who, tls::examine_clients(&tls.client));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let server = |listener: &config::Listener| match tls::Server::of(listener, &plan.sites, tickets) {
        Ok(server) => Ok(server.map(Arc::new)),
        Err(error) => Err(vec![problem(&listener.place, &format!("listener \"{}\"", listener.name), &error)]),
    };
    plan.listeners.iter().map(|listener| server(listener)).collect()
}

fn tell(problems: &mut Vec<Problem>, place: &Place, who: &str, findings: tls::Findings) {
    problems.extend(findings.faults.iter().map(|fault| problem(place, who, fault)));
    findings.remarks.iter().for_each(|remark| tracing::warn!("{who}: {remark}"));
}

fn problem(place: &Place, who: &str, error: &tls::Error) -> Problem {
    Problem::at(place, format!("{who}: TLS: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{
        Certificate, ClientAuth, ListenerTls, Pem, Protocol, TlsVersion, Transport, UpstreamHttp2, UpstreamTls,
    };

    #[test]
    fn what_is_wrong_with_tls_is_a_problem_of_its_member() {
        let text = r#"
            [listener.web]
            bind = "127.0.0.1:0"
            [pool.app]
            member = ["http://127.0.0.1:1",
                "http://127.0.0.1:2"]
            [site.all]
            host = "a.example"
            [[site.all.route]]
            pool = "app"
        "#;
        let mut plan = config::parse(text, "weir.toml", Path::new("")).unwrap();
        assert!(members(&plan.pools).is_empty());
        let ca = Some(Pem { path: "ca.pem".into(), text: b"nothing".as_slice().into() });
        let tls = Some(UpstreamTls { server_name: None, verify: true, ca, certificate: None, pins: Vec::new() });
        plan.pools[0].members[1].transport = Arc::new(Transport {
            protocol: Protocol::Http1,
            tls,
            source: None,
            proxy_protocol: None,
            h2: UpstreamHttp2::USUAL,
        });
        let problems: Vec<_> = members(&plan.pools).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1);
        let said = "weir.toml:6:17: pool \"app\": member \"http://127.0.0.1:2\": TLS: \"ca.pem\": there is no certificate in it";
        assert!(problems[0].starts_with(said), "{}", problems[0]);
    }

    #[test]
    fn what_is_wrong_with_tls_towards_clients_is_a_problem_of_its_place() {
        let text = r#"
            [listener.web]
            bind = "127.0.0.1:0"
            [listener.plain]
            bind = "127.0.0.1:0"
            [site.shop]
            host = "shop.example"
            route = [{ path = "/", respond = { status = 204 } }]
        "#;
        let mut plan = config::parse(text, "weir.toml", Path::new("")).unwrap();
        let tickets = tls::Tickets::default();
        assert!(doors(&plan, &tickets).unwrap().iter().all(Option::is_none));
        let authority = tls::testing::Authority::found();
        let (chain, key) = authority.certify(&["shop.example"]).files;
        let good = Certificate { chain, key, staple: None };
        Arc::make_mut(&mut plan.listeners[0]).tls = Some(ListenerTls {
            certificates: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            client: ClientAuth::None,
            handshake_timeout: std::time::Duration::from_secs(10),
            max_handshakes: 10,
            ticket_rotation: None,
        });
        plan.sites[0].certificates = vec![good.clone()];
        let doors_of = |plan: &Plan| match doors(plan, &tickets) {
            Ok(doors) => Ok(doors.iter().map(Option::is_some).collect::<Vec<_>>()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
        };
        assert_eq!(doors_of(&plan), Ok(vec![true, false]));
        plan.sites[0].certificates = vec![Certificate { key: good.chain.clone(), ..good.clone() }];
        Arc::make_mut(&mut plan.listeners[0]).tls.as_mut().unwrap().certificates =
            vec![Certificate { chain: good.key.clone(), ..good }];
        let problems = doors_of(&plan).unwrap_err();
        assert_eq!(problems.len(), 2);
        let site = "weir.toml:6:13: site \"shop\": TLS: \"member.pem\": there is no private key in it";
        let listener = "weir.toml:2:13: listener \"web\": TLS: \"member.key\": there is no certificate in it";
        assert!(problems[0].starts_with(site) && problems[1].starts_with(listener), "{problems:?}");
    }
}
