//! Sessions that are taken up again, and those that must not be.

use super::*;

fn authorities(authority: &Authority) -> ClientAuthorities {
    ClientAuthorities { ca: authority.pem(), revoked: Vec::new() }
}

fn made(plan: &ListenerTls, name: &str, tickets: &Tickets) -> Server {
    let listener = Listener { name: name.into(), ..listener(plan.clone()) };
    Server::of(&listener, &[], tickets).unwrap().unwrap()
}

/// Whether a session of one server is taken up by another one. Each has its own clients.
#[tokio::test]
async fn a_session_goes_on_where_the_same_is_asked_for() {
    let (authority, other) = (Authority::found(), Authority::found());
    let identity = authority.certify(&["shop.example"]);
    let plan = tls(&[&identity]);
    let asking = |client| ListenerTls { client, ..plan.clone() };
    let optional = asking(ClientAuth::Optional(authorities(&authority)));
    let required = asking(ClientAuth::Required(authorities(&authority)));
    let others = asking(ClientAuth::Optional(authorities(&other)));
    let revoking = ClientAuthorities { revoked: vec![authority.revoke(&[], 30)], ..authorities(&authority) };
    let revoking = asking(ClientAuth::Required(revoking));
    let off = ListenerTls { ticket_rotation: None, ..plan.clone() };
    let faster = ListenerTls { ticket_rotation: Some(Duration::from_secs(60)), ..plan.clone() };
    let renewed = tls(&[&authority.certify(&["shop.example"])]);
    let anna = authority.certify_person("anna", 1, Vec::new());
    for (what, first, then, name, goes_on) in [
        ("the same", &plan, &plan, "web", true),
        ("the same that asks", &required, &required, "web", true),
        ("another certificate", &plan, &renewed, "web", true),
        ("another listener", &plan, &plan, "admin", false),
        ("asks now", &plan, &optional, "web", false),
        ("insists now", &plan, &required, "web", false),
        ("insists on what it asked for", &optional, &required, "web", false),
        ("asks no more", &required, &plan, "web", false),
        ("trusts others", &optional, &others, "web", false),
        ("has a list now", &required, &revoking, "web", false),
        ("other keys", &plan, &faster, "web", false),
        ("none any more", &plan, &off, "web", false),
        ("none yet", &off, &plan, "web", false),
    ] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let tickets = Tickets::default();
            let (first, then) = (made(first, "web", &tickets), made(then, name, &tickets));
            let caller = Caller::speaking(&authority, &[version]).showing(&anna);
            let begun = caller.meet(&first, "shop.example").await.secured();
            assert!(!begun.is_resumed);
            let met = caller.meet(&then, "shop.example").await;
            if what == "trusts others" {
                assert!(met.server.err().unwrap().contains("signed by no authority that is trusted"));
                continue;
            }
            let secured = met.secured();
            assert_eq!(secured.is_resumed, goes_on, "{what}, {version:?}");
            if goes_on {
                assert_eq!(secured.client, begun.client);
            }
        }
    }
}

/// A client without a certificate got a session where none was asked for.
#[tokio::test]
async fn a_session_is_no_way_around_a_certificate() {
    let authority = Authority::found();
    let plan = tls(&[&authority.certify(&["shop.example"])]);
    let required = ListenerTls { client: ClientAuth::Required(authorities(&authority)), ..plan.clone() };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tickets = Tickets::default();
        let (open, closed) = (made(&plan, "web", &tickets), made(&required, "web", &tickets));
        let caller = Caller::speaking(&authority, &[version]);
        assert!(caller.meet(&open, "shop.example").await.client.is_ok());
        assert!(caller.meet(&open, "shop.example").await.secured().is_resumed);
        assert_eq!(caller.meet(&closed, "shop.example").await.server.err().unwrap(), "the client shows no certificate");
    }
}

#[tokio::test]
async fn a_session_outlives_the_generation_it_began_in() {
    let authority = Authority::found();
    let plan = tls(&[&authority.certify(&["shop.example"])]);
    let tickets = Tickets::default();
    let caller = Caller::trusting(&authority);
    let first = made(&plan, "web", &tickets);
    assert!(!caller.meet(&first, "shop.example").await.secured().is_resumed);
    let second = made(&plan, "web", &tickets);
    drop(first);
    assert!(caller.meet(&second, "shop.example").await.secured().is_resumed);
    let third = made(&plan, "web", &tickets);
    drop(second);
    assert!(caller.meet(&third, "shop.example").await.secured().is_resumed);
    drop(third);
    // Nobody has had the keys since.
    assert!(!caller.meet(&made(&plan, "web", &tickets), "shop.example").await.secured().is_resumed);
}

#[tokio::test]
async fn two_tickets_are_sent() {
    let authority = Authority::found();
    let server = made(&tls(&[&authority.certify(&["shop.example"])]), "web", &Tickets::default());
    let met = Caller::trusting(&authority).meet(&server, "shop.example").await;
    assert_eq!(met.client.unwrap().get_ref().1.tls13_tickets_received(), 2);
}
