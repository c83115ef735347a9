//! What a mail server may do wrong, and what that means for a notice.

use std::time::Duration;

use carnet::config::{Mail, RelaySecurity};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::*;
use crate::support::gateway::free_address;

/// A gateway with one notice, for its patient.
async fn with_one_notice() -> TestGateway {
    let gateway = TestGateway::start().await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    gateway
}

/// The same sender with other settings.
fn sender_with(gateway: &TestGateway, mail: Mail) -> Sender {
    let mut gateway: Gateway = gateway.gateway().clone();
    gateway.config = Arc::new(Config { mail, ..(*gateway.config).clone() });
    gateway.notice_sender().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_now_is_asked_again_and_the_mail_is_sent_once() {
    for trouble in [
        Trouble::Greeting("421 too many"),
        Trouble::Greeting("HTTP/1.1 400 Bad Request"),
        Trouble::Offer("502 what"),
        Trouble::Sender("451 not now"),
        Trouble::Sender("550 not you"),
    ] {
        let (gateway, server) = (with_one_notice().await, MailServer::start().await);
        server.makes(&[trouble]);
        let sender = sender(&gateway, &server);
        assert_eq!(sender.round(&Bell::default()).await.unwrap(), Round::Down);
        empty(&sender).await;
        assert_eq!((server.acknowledged().as_slice(), server.taken().len()), (&[PATIENTS_ADDRESS.to_owned()][..], 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_waited_for() {
    let gateway = with_one_notice().await;
    let address = free_address();
    let server = MailServer::start_at(address, RelaySecurity::Plain).await;
    let settings = server.settings();
    drop(server);
    let sender = sender_with(&gateway, settings);
    while sender.round(&Bell::default()).await.unwrap() != Round::Down {}
    let server = MailServer::start_at(address, RelaySecurity::Plain).await;
    empty(&sender).await;
    assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_not_taken_is_sent_again_later_and_then_once() {
    for trouble in [Trouble::Recipient("450 greylisted"), Trouble::End("451 later"), Trouble::HangUp] {
        let (gateway, server) = (with_one_notice().await, MailServer::start().await);
        server.makes(&[trouble]);
        let first = now();
        assert_eq!(sender_at(&gateway, &server, first).round(&Bell::default()).await.unwrap(), Round::NotTaken);
        // Not before 30 seconds, and a quarter more at most.
        assert_eq!(
            sender_at(&gateway, &server, first + 29.seconds()).round(&Bell::default()).await.unwrap(),
            Round::Idle
        );
        empty(&sender_at(&gateway, &server, first + 38.seconds())).await;
        assert_eq!(
            sender_at(&gateway, &server, first + 30.hours()).round(&Bell::default()).await.unwrap(),
            Round::Idle
        );
        assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
        let ids: std::collections::HashSet<_> =
            server.taken().iter().map(|mail| mail.message_id().to_owned()).collect();
        assert_eq!(ids.len(), 1, "a second attempt is known by its Message-ID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_for_good_is_kept_and_tried_each_day_or_at_a_new_address() {
    let (gateway, server) = (with_one_notice().await, MailServer::start().await);
    server.makes(&[Trouble::Recipient("550 no such mailbox"), Trouble::End("554 no")]);
    let first = now();
    assert_eq!(sender_at(&gateway, &server, first).round(&Bell::default()).await.unwrap(), Round::NotTaken);
    assert_eq!(sender_at(&gateway, &server, first + 23.hours()).round(&Bell::default()).await.unwrap(), Round::Idle);
    let next = first + 24.hours();
    assert_eq!(sender_at(&gateway, &server, next).round(&Bell::default()).await.unwrap(), Round::NotTaken);
    note_contact(&gateway, ContactOf::Patient(patient()), "new@exemple.fr").await;
    empty(&sender_at(&gateway, &server, next + 1.seconds())).await;
    assert_eq!(server.acknowledged(), ["new@exemple.fr"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_whose_sender_died_is_sent_by_another_once_its_lease_is_over() {
    let (gateway, server) = (with_one_notice().await, MailServer::start().await);
    server.makes(&[Trouble::Hold]);
    let first = now();
    let dying = sender_at(&gateway, &server, first);
    let under_way = tokio::spawn(async move { dying.round(&Bell::default()).await });
    server.has_taken(1).await;
    under_way.abort();
    assert!(under_way.await.unwrap_err().is_cancelled());
    // Twice the time for a dialogue, ten minutes for the last word, one for good measure.
    assert_eq!(sender_at(&gateway, &server, first + 719.seconds()).round(&Bell::default()).await.unwrap(), Round::Idle);
    empty(&sender_at(&gateway, &server, first + 720.seconds())).await;
    let mails = server.taken();
    // The one doubt: the server had the first, and nobody heard. It can tell.
    assert_eq!((mails.len(), mails[0].message_id()), (2, mails[1].message_id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_row_cannot_be_written_is_noted_later_and_not_sent_again() {
    let (gateway, server) = (with_one_notice().await, MailServer::start().await);
    let sender = sender(&gateway, &server);
    let url = &gateway.gateway().config.store.database;
    let options = url.parse::<SqliteConnectOptions>().unwrap().disable_statement_logging();
    let mut database = options.connect().await.unwrap();
    let guard = "CREATE TRIGGER refuses BEFORE UPDATE ON outbox WHEN new.state = 'sent'
                 BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.execute(guard).await.unwrap();
    for _ in 0..3 {
        sender.round(&Bell::default()).await.unwrap_err();
        // As if the lease were over.
        database.execute("UPDATE outbox SET next_us = 0").await.unwrap();
    }
    assert_eq!(server.taken().len(), 1);
    database.execute("DROP TRIGGER refuses").await.unwrap();
    empty(&sender).await;
    assert_eq!((server.taken().len(), told(&gateway).await), (1, vec!["notify_patient".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_mail_under_way() {
    let server = MailServer::start().await;
    server.makes(&[Trouble::Hold]);
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    server.has_taken(1).await;
    let (left, address) = (gateway.gateway().clone(), gateway.running.professionals);
    let TestGateway { running, _folder, .. } = gateway;
    let stopping = tokio::spawn(running.stop());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    server.release();
    stopping.await.unwrap().unwrap();
    assert_eq!((told_by(&left).await, server.taken().len()), (vec!["notify_patient".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_its_time_even_where_the_mail_server_does_not_answer() {
    let server = MailServer::start().await;
    server.makes(&[Trouble::Hold]);
    let builder = TestGateway::builder().configured(|config| {
        config.mail = server.settings();
        config.limits.shutdown_seconds = 0;
    });
    let gateway = builder.start().await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    server.has_taken(1).await;
    tokio::time::timeout(Duration::from_secs(10), gateway.running.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_glass_again_and_again_does_not_set_how_often_a_server_is_asked() {
    let server = MailServer::start().await;
    server.makes(&[Trouble::Greeting("421 no"); 64]);
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    search_in_emergency(&gateway.doctor(BERNARD)).await;
    server.was_connected(1).await;
    for n in 0..10 {
        search_in_emergency(&gateway.doctor(&format!("8100000002{n:02}"))).await;
    }
    gateway.running.stop().await.unwrap();
    assert!(server.connections() <= 4, "no more than mail.in_flight_max: {}", server.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_notice_waits_behind_one_that_the_server_is_slow_with() {
    let server = MailServer::start().await;
    server.makes(&[Trouble::Hold]);
    let gateway = TestGateway::builder().configured(|config| config.mail = server.settings()).start().await;
    note_contact(&gateway, ContactOf::Patient(patient()), PATIENTS_ADDRESS).await;
    for n in 0..8 {
        search_in_emergency(&gateway.doctor(&format!("8100000003{n:02}"))).await;
    }
    server.has_taken(8).await;
    server.release();
    let TestGateway { running, _folder, .. } = gateway;
    let left = running.gateway.clone();
    running.stop().await.unwrap();
    assert_eq!((server.acknowledged().len(), told_by(&left).await.len()), (8, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_spoken_to_under_tls_from_the_start_or_after_starttls_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "sésame\n").unwrap();
    let plain = base64_simd::STANDARD.encode_to_string("\0dmp\0sésame");
    let in_steps = ["dmp", "sésame"].map(|word| base64_simd::STANDARD.encode_to_string(word)).join(" ");
    for (security, offer, login) in [
        (RelaySecurity::Tls, None, format!("PLAIN {plain}")),
        (RelaySecurity::StartTls, None, format!("PLAIN {plain}")),
        (RelaySecurity::Tls, Some(Trouble::Offer("250-x\r\n250 auth login XOAUTH2")), format!("LOGIN {in_steps}")),
    ] {
        let (gateway, server) = (with_one_notice().await, MailServer::start_secure(security).await);
        server.makes(offer.as_slice());
        let settings = Mail { user: "dmp".to_owned(), password_file: password_file.clone(), ..server.settings() };
        empty(&sender_with(&gateway, settings)).await;
        assert_eq!(server.acknowledged(), [PATIENTS_ADDRESS]);
        assert_eq!(server.logins(), [login]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_encrypted_as_it_should_be_carries_nothing() {
    let gateway = with_one_notice().await;
    // A root that did not issue the server's certificate.
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = carnet::tls::development_pki::DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let server = MailServer::start_secure(RelaySecurity::Tls).await;
    let strangers = Mail { roots: vec![elsewhere.directory().join("server-ca.pem")], ..server.settings() };
    assert_eq!(sender_with(&gateway, strangers).round(&Bell::default()).await.unwrap(), Round::Down);
    // No STARTTLS; a refusal of it; answers that came along unencrypted, for after the handshake.
    for trouble in [
        Trouble::Offer("250 AUTH PLAIN"),
        Trouble::StartTls("454 not now"),
        Trouble::StartTls("220 go on\r\n250 localhost\r\n250 good\r\n250 good\r\n354 go on\r\n250 taken"),
    ] {
        let server = MailServer::start_secure(RelaySecurity::StartTls).await;
        server.makes(&[trouble]);
        assert_eq!(sender_with(&gateway, server.settings()).round(&Bell::default()).await.unwrap(), Round::Down);
        assert!(server.taken().is_empty());
    }
}
