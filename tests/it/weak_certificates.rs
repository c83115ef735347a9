//! Certificates too weak for any of our own tools to make or present: openssl's, where there is one.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use carnet::clock::Clock;
use carnet::tls::key_purpose::KeyPurpose;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::support::forge::LABORATORY;
use crate::support::test_listener::TestListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_short_key_and_a_sha_1_signature_each_end_the_handshake() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let listener = TestListener::start().await;
    // The first shows that openssl's certificates and handshakes are good but for what is weak in the others.
    for (name, key, digest, weakness) in [
        ("strong", "rsa:2048", "-sha256", None),
        ("short", "rsa:1024", "-sha256", Some("client certificate, key: found RSA of 1024 bits")),
        ("sha1", "rsa:2048", "-sha1", Some("client certificate, signature: found ecdsa-with-SHA1")),
    ] {
        let folder = listener.pki.directory();
        issue(folder, name, key, digest);
        for version in ["-tls1_2", "-tls1_3"] {
            let answer = ask(listener.address, folder, name, version).await;
            assert_eq!(answer.contains(LABORATORY), weakness.is_none(), "{name} over {version}: {answer}");
        }
        if let Some(words) = weakness {
            let told = explanation(&listener, &folder.join(format!("{name}.pem")));
            assert!(matches!(told.as_slice(), [only] if only.contains(words)), "{words} is not all of {told:#?}");
        }
    }
}

/// A certificate in order, but for its key and the digest of its signature.
fn issue(folder: &Path, name: &str, key: &str, digest: &str) {
    let extensions = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    let subject = format!("/O=LABO TEST/OU={LABORATORY}/CN=SIL");
    let (key_file, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    run(folder, &["req", "-new", "-newkey", key, "-nodes", "-keyout", &key_file, "-out", "request", "-subj", &subject]);
    let authority = ["-CA", "ca/organisations.pem", "-CAkey", "ca/organisations.key", "-set_serial", "4242"];
    let arguments = [&["x509", "-req", "-in", "request", "-out", &certificate, "-days", "2", digest], &authority[..]];
    run(folder, &[&arguments.concat()[..], &["-extfile", "extensions"]].concat());
}

fn run(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `/who` answers to a client that presents whatever it is given.
async fn ask(address: SocketAddr, folder: &Path, name: &str, version: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args(["s_client", version, "-quiet", "-servername", "localhost"]);
    openssl.args(["-cipher", "DEFAULT@SECLEVEL=0", "-CAfile", "server-ca.pem", "-connect", &address.to_string()]);
    openssl.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]);
    openssl.args(["-cert_chain", "ca/organisations.pem"]);
    let ask = move || {
        let mut openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that was refused may be gone before it is asked.
        let request = b"GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let _ = std::io::Write::write_all(openssl.stdin.as_mut().unwrap(), request);
        let output = openssl.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn explanation(listener: &TestListener, certificate: &Path) -> Vec<String> {
    let authority = listener.pki.directory().join("ca/organisations.pem");
    let chain = [certificate, &authority].map(|file| CertificateDer::from_pem_file(file).unwrap());
    let told = listener.trust.verifier().explain(&chain, KeyPurpose::Authentication, Clock::System.now());
    told.iter().map(ToString::to_string).collect()
}
