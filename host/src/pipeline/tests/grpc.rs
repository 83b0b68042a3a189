//! Calls of gRPC: what their clients are told when something goes wrong, and how long they may take.

use super::*;

fn call(version: Version, path: &str) -> Asking {
    let call = asking(version, Scheme::Http, "POST", &format!("http://h{path}"));
    call.with("content-type", "application/grpc+proto").with("te", "trailers")
}

/// Answers as gRPC does over HTTP/1.1, or not at all.
fn member() -> Act {
    Rc::new(|head, mut stream| {
        Box::pin(async move {
            let begin = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\
                         trailer: grpc-status, content-length\r\n\r\n3\r\nabc\r\n";
            if !head.contains("/silent") {
                stream.write_all(begin.as_bytes()).await.unwrap();
            }
            if head.contains("/whole") {
                let end = b"0\r\ngrpc-status: 0\r\ngrpc-message: x\r\nx-forwarded-for: 1.1.1.1\r\n\r\n";
                stream.write_all(end).await.unwrap();
            }
            // Until the gateway closes.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
    })
}

#[test]
fn trailers_pass_but_for_what_has_no_place_there() {
    run("trailers", member(), |house| async move {
        let (head, body, trailers) = house.ask(call(Version::HTTP_2, "/whole")).await;
        assert_eq!((head.status, &*body), (Status::OK, "abc"));
        let mut names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["grpc-message", "grpc-status"]);
        assert!(house.last_seen().contains("\r\nte: trailers\r\n"));
        assert_eq!(house.last_logged(), "POST HTTP/2.0 200 -");
    });
}

#[test]
fn failures_are_told_in_trailers_alone_and_logged_as_what_they_are() {
    run("grpc-told", member(), |house| async move {
        for (path, code, logged) in [("/dead", "14", "502 connect-refused"), ("/none", "12", "404 no-route")] {
            let (head, body, _) = house.ask(call(Version::HTTP_3, path)).await;
            assert_eq!((head.status, &*body), (Status::OK, ""));
            assert_eq!((field(&head, "grpc-status"), field(&head, "content-type")), (code, "application/grpc"));
            assert!(!field(&head, "grpc-message").is_empty() && field(&head, "content-length").is_empty());
            assert_eq!(house.last_logged(), format!("POST HTTP/3.0 {logged}"));
            // Over HTTP/1 there is no gRPC.
            let (head, body, _) = house.ask(call(Version::HTTP_11, path).with("host", "h")).await;
            assert!(head.status != Status::OK && !body.is_empty() && field(&head, "grpc-status").is_empty());
        }
        let (head, ..) = house.ask(call(Version::HTTP_3, "/whole").early()).await;
        assert_eq!(head.status.as_u16(), 425);
    });
}

#[test]
fn the_clients_deadline_holds_before_the_answer_and_in_it() {
    run("deadline", member(), |house| async move {
        let (head, ..) = house.ask(call(Version::HTTP_2, "/silent").with("grpc-timeout", "100m")).await;
        assert_eq!((head.status, field(&head, "grpc-status")), (Status::OK, "4"));
        assert_eq!(house.last_logged(), "POST HTTP/2.0 504 exchange-timeout");
        let (head, body, trailers) = house.ask(call(Version::HTTP_2, "/endless").with("grpc-timeout", "200m")).await;
        assert_eq!((head.status, &*body), (Status::OK, "abc"));
        assert_eq!(trailers.get("grpc-status").unwrap(), "4");
        assert!(!trailers.contains_key("content-type"));
        assert_eq!(house.last_logged(), "POST HTTP/2.0 200 exchange-timeout");
    });
}
