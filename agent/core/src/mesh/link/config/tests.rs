use super::*;
use crate::key::SecretKey;

fn id(seed: u8) -> Id {
    SecretKey::from_seed(&[seed; 32]).public().into()
}

fn config() -> Config {
    let peer = |seed: u8| Peer {
        id: id(seed),
        client: None,
        name: Some(format!("party-{seed}").parse().unwrap()),
        addresses: vec!["203.0.113.9:7000".parse().unwrap()],
        local: Ipv4Addr::new(127, 61, 0, seed),
        reach: vec![Reach {
            port: 7300,
            listen: None,
        }],
        serve: vec![Serve {
            port: 7300,
            target: None,
        }],
    };
    Config {
        generation: 3,
        key: KeySource::Credential("link.key".to_owned()),
        control: "/run/e3-link/control".into(),
        bind: vec!["0.0.0.0:7000".parse().unwrap()],
        external: Vec::new(),
        relays: vec![Relay {
            url: "https://relay.example:8443".to_owned(),
            discovery_port: 7842,
        }],
        authorities: None,
        clock_floor: None,
        hold_seconds: HOLD,
        peers: vec![peer(1), peer(2)],
    }
}

#[test]
fn a_configuration_is_read_back_as_it_was_written() {
    let bytes = serde_json::to_vec(&config()).unwrap();
    assert_eq!(Config::parse(&bytes), Ok(config()));
    let least = br#"{"key":{"file":"/k"},"control":"/c"}"#;
    let least = Config::parse(least).unwrap();
    assert_eq!((least.hold_seconds, least.peers.len()), (HOLD, 0));
}

#[test]
fn what_does_not_fit_is_refused() {
    type Change = fn(&mut Config);
    let changes: [(Change, &str); 14] = [
        (|c| c.peers[1].id = c.peers[0].id, "the peer "),
        (|c| c.peers[1].local = c.peers[0].local, "the local address"),
        (
            |c| c.peers[0].local = Ipv4Addr::new(10, 0, 0, 1),
            "10.0.0.1 is not",
        ),
        (
            |c| c.peers[0].serve[0].target = Some("192.168.1.1:22".parse().unwrap()),
            "192.168.1.1 is not",
        ),
        (|c| c.peers[0].reach[0].port = 0, "port 0"),
        (
            |c| c.peers[0].serve[0].target = Some("127.0.0.1:0".parse().unwrap()),
            "port 0",
        ),
        (
            |c| c.peers[0].reach = vec![c.peers[0].reach[0]; 2],
            "local port of a peer",
        ),
        (
            |c| c.peers[0].serve = vec![c.peers[0].serve[0]; 2],
            "service for a peer",
        ),
        (
            |c| c.peers[0].addresses = vec!["1.2.3.4:5".parse().unwrap(); 17],
            "16 is the most",
        ),
        (
            |c| c.relays[0].url = "http://relay.example".to_owned(),
            "no relay",
        ),
        (
            |c| c.relays[0].url = "https://a:b@relay.example".to_owned(),
            "no relay",
        ),
        (
            |c| c.bind = vec!["0.0.0.0:1".parse().unwrap(); 2],
            "family to bind",
        ),
        (
            |c| c.key = KeySource::Credential("../key".to_owned()),
            "credential",
        ),
        (
            |c| {
                c.peers = (0..=128)
                    .map(|n| Peer {
                        id: id(n),
                        ..c.peers[0].clone()
                    })
                    .collect();
            },
            "128 is the most",
        ),
    ];
    for (change, said) in changes {
        let mut config = config();
        change(&mut config);
        let error = Config::parse(&serde_json::to_vec(&config).unwrap()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}, not {said}");
    }
    assert!(matches!(
        Config::parse(br#"{"key":1}"#),
        Err(ConfigError::Json(_))
    ));
    let unknown = br#"{"key":{"file":"/k"},"control":"/c","shell":"sh"}"#;
    assert!(matches!(Config::parse(unknown), Err(ConfigError::Json(_))));
    let endless = vec![b' '; CONFIG + 1];
    assert_eq!(Config::parse(&endless), Err(ConfigError::TooLarge));
}

#[test]
fn only_what_a_reload_can_change_may_change() {
    let mut next = config();
    next.generation += 1;
    next.hold_seconds = 5;
    next.peers.pop();
    assert_eq!(next.wants_restart(&config()), None);
    next.relays.clear();
    assert_eq!(next.wants_restart(&config()), Some("relays"));
}
