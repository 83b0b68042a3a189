//! Answers that lead elsewhere, to clients that ask for more than an answer.

use super::*;

/// A member that leads to a path, and has nothing more to say where `/silent` is asked for.
fn leading(path: &'static str) -> Act {
    Rc::new(move |head, mut stream| {
        Box::pin(async move {
            if head.contains("/silent") {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-accel-redirect: {path}\r\ncontent-type: text/led\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        })
    })
}

#[test]
fn a_tunnel_is_not_led_elsewhere() {
    run("led-connect", leading("/fixed"), |house| async move {
        let asked = asking(Version::HTTP_2, Scheme::Http, "CONNECT", "http://h/socket").to("websocket");
        let (head, _, _) = house.ask(asked).await;
        assert_eq!((head.status.as_u16(), field(&head, "x-accel-redirect")), (501, ""));
        assert_eq!(house.last_logged(), "GET HTTP/2.0 501 not-implemented");
    });
    run("led-to-pool", leading("/socket"), |house| async move {
        let asked = asking(Version::HTTP_3, Scheme::Http, "CONNECT", "http://h/socket").to("websocket");
        assert_eq!(house.ask(asked).await.0.status.as_u16(), 501);
        assert_eq!(house.seen.borrow().len(), 1, "nobody else was asked");
    });
    run("led-upgrade", leading("/fixed"), |house| async move {
        let asked = asking(Version::HTTP_11, Scheme::Http, "GET", "/socket");
        let asked = asked.with("connection", "upgrade").with("upgrade", "websocket");
        let (head, body, _) = house.ask(asked).await;
        assert_eq!((head.status.as_u16(), &*body, field(&head, "content-type")), (200, "fixed", "text/led"));
    });
}

#[test]
fn who_speaks_grpc_is_told_in_its_own_way() {
    run("led-grpc", leading("@nobody"), |house| async move {
        let call =
            asking(Version::HTTP_2, Scheme::Http, "POST", "http://h/call").with("content-type", "application/grpc");
        let (head, body, _) = house.ask(call).await;
        assert_eq!((head.status, &*body, field(&head, "grpc-status")), (Status::OK, "", "12"));
        assert_eq!(house.last_logged(), "POST HTTP/2.0 404 no-route");
    });
}

#[test]
fn who_leaves_on_the_way_is_logged_once_as_it_came() {
    run("led-gone", leading("/silent"), |house| async move {
        let asked = asking(Version::HTTP_11, Scheme::Http, "DELETE", "/x");
        let waiting = house.serve(asked);
        let gone = async {
            while house.seen.borrow().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = waiting => panic!("nobody answers"), () = gone => {} }
        assert!(house.last_seen().starts_with("get /silent http/1.1\r\n"), "{}", house.last_seen());
        assert_eq!(house.last_logged(), "DELETE HTTP/1.1 499 client-gone");
    });
}
