//! Mail programs that set themselves up: what each kind is told, and that nobody learns who is here.

use crate::support::{self, Plane, Server, header, json_of};
use reqwest::{Method, Response, StatusCode};

support::on_both_planes!(programs_find_their_settings, nobody_learns_who_is_here, questions_are_counted);

const OUTLOOK: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
const AUTOCONFIG: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";
const PROFILE: &str = "/.well-known/mail.mobileconfig";

async fn server(plane: &Plane<'_>) -> Server {
    let keys = [
        ("MAGPIE_SETUP__HOSTNAME", "mail.demo.test"),
        ("MAGPIE_SETUP__IMAPS", "993"),
        ("MAGPIE_SETUP__POP3", "off"),
        ("MAGPIE_HTTP__PUBLIC_URL", "https://web.demo.test"),
    ];
    Server::start_with(plane, &keys).await
}

async fn get(server: &Server, path: &str) -> (StatusCode, String, String) {
    read(server.nobody().get(path).await).await
}

async fn read(answer: Response) -> (StatusCode, String, String) {
    let (status, kind) = (answer.status(), header(&answer, "content-type").to_owned());
    (status, kind, answer.text().await.unwrap())
}

async fn discover(server: &Server, path: &str, address: &str, schema: &str) -> (StatusCode, String, String) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/\
         autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress>\
         <AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
    );
    let request = server.nobody().request(Method::POST, path).header("content-type", "text/xml");
    read(request.body(body).send().await.unwrap()).await
}

async fn programs_find_their_settings(plane: &Plane<'_>) {
    let server = server(plane).await;
    let port = |address: Option<std::net::SocketAddr>| address.unwrap().port();
    let (imap, pop3s) = (port(server.node.addresses.imap), port(server.node.addresses.pop3s));
    let (submission, submissions) =
        (port(server.node.addresses.submission), port(server.node.addresses.submissions));

    for path in [AUTOCONFIG, "/mail/config-v1.1.xml"] {
        let (status, kind, text) = get(&server, &format!("{path}?emailaddress=alice%40demo.test")).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/xml; charset=utf-8"));
        let ports: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("<port>")).collect();
        let wanted = [993, imap, pop3s, submissions, submission].map(|port| format!("{port}</port>"));
        assert_eq!(ports, wanted, "{text}");
        assert!(text.contains("<hostname>mail.demo.test</hostname>"), "{text}");
        assert!(text.contains("<username>%EMAILADDRESS%</username>"), "{text}");
    }
    // Without an address, by the name that was asked.
    let by_host = server
        .nobody()
        .request(Method::GET, "/mail/config-v1.1.xml")
        .header("host", "AutoConfig.demo.test:80");
    let (status, _, text) = read(by_host.send().await.unwrap()).await;
    assert!(status == StatusCode::OK && text.contains("<domain>demo.test</domain>"), "{status} {text}");

    for path in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"] {
        let (status, kind, text) = discover(&server, path, "alice@demo.test", OUTLOOK).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/xml; charset=utf-8"), "{text}");
        assert!(text.contains("<Type>IMAP</Type>") && text.contains("<Port>993</Port>"), "{text}");
        assert!(text.contains("<LoginName>alice@demo.test</LoginName>"), "{text}");
    }
    let (status, _, text) =
        discover(&server, "/autodiscover/autodiscover.xml", "alice@demo.test", "mobilesync").await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("<ErrorCode>601</ErrorCode>"), "{text}");

    for path in [
        "/autodiscover/autodiscover.json?Email=alice@demo.test&Protocol=AutodiscoverV1",
        "/autodiscover/autodiscover.json/v1.0/alice@demo.test?Protocol=autodiscoverv1&RedirectCount=1",
    ] {
        let found = json_of(server.nobody().get(path).await).await;
        assert_eq!(found["Protocol"], "AutodiscoverV1");
        assert_eq!(found["Url"], "https://web.demo.test/autodiscover/autodiscover.xml", "{found}");
    }

    let (status, kind, text) = get(&server, &format!("{PROFILE}?emailaddress=alice@demo.test")).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/x-apple-aspen-config"));
    assert!(
        text.contains("<integer>993</integer>") && text.contains("<string>alice@demo.test</string>"),
        "{text}"
    );
    server.stop().await;
}

/// What is said of an address of ours is said of every other of its domain.
async fn nobody_learns_who_is_here(plane: &Plane<'_>) {
    let server = server(plane).await;
    let all = async |name: &str| {
        let address = format!("{name}@demo.test");
        let said = [
            get(&server, &format!("{AUTOCONFIG}?emailaddress={address}")).await,
            get(&server, &format!("/autodiscover/autodiscover.json?Email={address}&Protocol=AutodiscoverV1"))
                .await,
            discover(&server, "/autodiscover/autodiscover.xml", &address, OUTLOOK).await,
        ];
        said.map(|(status, kind, text)| (status, kind, text.replace(name, "NAME")))
    };
    assert_eq!(all("alice").await, all("nobody").await);
    let (status, ..) = get(&server, &format!("{PROFILE}?emailaddress=nobody@demo.test")).await;
    assert_eq!(status, StatusCode::OK);

    // Of other domains nothing is said.
    let json =
        |address: &str| format!("/autodiscover/autodiscover.json?Email={address}&Protocol=AutodiscoverV1");
    for (address, wanted) in
        [("x@elsewhere.example", 404), ("nonsense", 400), ("", 400), ("%3Cscript%3E@demo.test", 400)]
    {
        for path in [
            format!("{AUTOCONFIG}?emailaddress={address}"),
            format!("{PROFILE}?emailaddress={address}"),
            json(address),
        ] {
            let (status, kind, text) = get(&server, &path).await;
            assert_eq!(status.as_u16(), wanted, "{path} {text}");
            assert!(kind.contains("json") && !text.contains('<'), "{path} {kind} {text}");
        }
    }
    let (status, _, text) =
        discover(&server, "/autodiscover/autodiscover.xml", "x@elsewhere.example", OUTLOOK).await;
    assert!(status == StatusCode::NOT_FOUND && text.contains("<ErrorCode>500</ErrorCode>"), "{text}");
    let (status, _, text) = discover(&server, "/autodiscover/autodiscover.xml", "<a/>", OUTLOOK).await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("<ErrorCode>600</ErrorCode>"), "{text}");
    for (path, code) in [
        ("/autodiscover/autodiscover.json?Email=a@demo.test&Protocol=EWS", "InvalidProtocol"),
        ("/autodiscover/autodiscover.json?Email=a@demo.test", "MandatoryParameterMissing"),
    ] {
        let (status, _, text) = get(&server, path).await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains(code), "{path} {text}");
    }
    let (status, ..) = get(&server, AUTOCONFIG).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, ..) = get(&server, "/autodiscover/autodiscover.xml").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let long =
        server.nobody().request(Method::POST, "/autodiscover/autodiscover.xml").body("x".repeat(20_000));
    assert_eq!(long.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    server.stop().await;
}

async fn questions_are_counted(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_LIMITS__SETUPS_PER_MINUTE", "3")]).await;
    let path = format!("{AUTOCONFIG}?emailaddress=alice@demo.test");
    for _ in 0..3 {
        assert_eq!(get(&server, &path).await.0, StatusCode::OK);
    }
    for path in [path, format!("{PROFILE}?emailaddress=alice@demo.test")] {
        assert_eq!(get(&server, &path).await.0, StatusCode::TOO_MANY_REQUESTS);
    }
    let (status, ..) = discover(&server, "/autodiscover/autodiscover.xml", "alice@demo.test", OUTLOOK).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    server.stop().await;
}
