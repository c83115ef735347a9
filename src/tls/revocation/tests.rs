//! Lists as authorities write them, well and badly.

use proptest::prelude::*;
use rcgen::SigningKey as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};

use x509_parser::prelude::FromDer as _;

use super::*;

const IN_2025: i64 = 1_750_000_000;
const IN_2026: i64 = 1_780_000_000;
const IN_2028: i64 = 1_840_000_000;

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
    leaf: Vec<u8>,
}

fn authority(usages: &[KeyUsagePurpose]) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = usages.to_vec();
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let mut leaf = CertificateParams::default();
    leaf.serial_number = Some(SerialNumber::from_slice(&[0x80, 7]));
    let issuer = Issuer::from_params(&params, &key);
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
    Authority { params, key, der, leaf }
}

impl Authority {
    /// A list of 2026 that names the leaf, or not.
    fn list(&self, reason: Option<RevocationReason>) -> Vec<u8> {
        let revoked = |reason| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[0x80, 7]),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: Some(reason),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2027, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: reason.map(revoked).into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..=127 => [&[tag, length[1]], content].concat(),
        128..=255 => [&[tag, 0x81, length[1]], content].concat(),
        _ => [&[tag, 0x82], &length[..], content].concat(),
    }
}

/// An extension of 2.5.29: its last arc and its value.
type Extension<'a> = (u8, &'a [u8]);

/// A list by hand, for what rcgen does not write.
struct Draft<'a> {
    number: u8,
    until: &'a [u8],
    extensions: Vec<Extension<'a>>,
    /// The reason of the one entry, which is the leaf's.
    entry: Option<u8>,
}

const EMPTY: Draft<'static> = Draft { number: 1, until: UNTIL_2027, extensions: Vec::new(), entry: None };
const UNTIL_2027: &[u8] = b"270101000000Z";
const UNTIL_2040: &[u8] = b"400101000000Z";
const KEY_COMPROMISE: u8 = 1;
const ON_HOLD: u8 = 6;
const REMOVE_FROM_CRL: u8 = 8;
const DISTRIBUTION_POINT: u8 = 28;
const DELTA_OF: u8 = 27;
const NUMBER: u8 = 20;

impl Draft<'_> {
    fn signed_by(self, authority: &Authority) -> Vec<u8> {
        let ecdsa_with_sha256 = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let extension = |(arc, value): &Extension<'_>| {
            let critical: &[u8] = if *arc == NUMBER { &[] } else { &[1, 1, 0xff] };
            tlv(0x30, &[&[6, 3, 0x55, 0x1d, *arc], critical, &tlv(4, value)[..]].concat())
        };
        let number = [2, 1, self.number];
        let number = extension(&(NUMBER, &number));
        let extensions: Vec<u8> = self.extensions.iter().flat_map(extension).chain(number).collect();
        let reason = |reason: u8| {
            let reason = tlv(0x30, &tlv(0x30, &[&[6, 3, 0x55, 0x1d, 21][..], &tlv(4, &[10, 1, reason])].concat()));
            let entry = [&tlv(2, &[0, 0x80, 7]), &tlv(0x17, b"260101000000Z"), &reason[..]].concat();
            tlv(0x30, &tlv(0x30, &entry))
        };
        let entries = self.entry.map(reason).unwrap_or_default();
        let issuer = parse(&authority.der).subject().as_raw().to_vec();
        let dates = [tlv(0x17, b"260101000000Z"), tlv(0x17, self.until)].concat();
        let extensions = tlv(0xa0, &tlv(0x30, &extensions));
        let list = [&[2, 1, 1], &ecdsa_with_sha256[..], &issuer, &dates, &entries, &extensions].concat();
        let list = tlv(0x30, &list);
        let signature = [&[0], &authority.key.sign(&list).unwrap()[..]].concat();
        tlv(0x30, &[&list, &ecdsa_with_sha256[..], &tlv(3, &signature)].concat())
    }
}

fn complete(number: u8, entry: Option<u8>) -> Draft<'static> {
    Draft { number, entry, ..EMPTY }
}

fn delta(number: u8, base: &'static [u8], entry: Option<u8>) -> Draft<'static> {
    Draft { number, entry, until: UNTIL_2040, extensions: vec![(DELTA_OF, base)] }
}

fn of_scope(scope: &[u8]) -> Draft<'_> {
    Draft { extensions: vec![(DISTRIBUTION_POINT, scope)], ..EMPTY }
}

fn lists() -> Revocations {
    Revocations::new(rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}

fn read(ders: &[Vec<u8>]) -> Revocations {
    let mut lists = lists();
    for der in ders {
        lists.add(List::read(der.clone()).unwrap(), &[]).unwrap();
    }
    lists
}

/// Looks up the leaf of `authority`, which came with the authority's certificate.
fn status(ders: &[Vec<u8>], authority: &Authority, now_s: i64) -> Status {
    read(ders).status(&parse(&authority.leaf), &[parse(&authority.der)], now_s)
}

fn holds(status: Status, now_s: i64) -> bool {
    status.good_until_s().is_some_and(|until_s| now_s < until_s)
}

#[test]
fn a_serial_on_the_list_is_revoked_and_another_is_not() {
    let authority = authority(&[]);
    let (empty, full) = (authority.list(None), authority.list(Some(RevocationReason::KeyCompromise)));
    assert!(holds(status(&[empty], &authority, IN_2026), IN_2026));
    assert_eq!(status(&[full], &authority, IN_2026), Status::Revoked);
}

#[test]
fn a_serial_that_left_the_list_is_not_revoked() {
    let authority = authority(&[]);
    let list = authority.list(Some(RevocationReason::RemoveFromCrl));
    assert!(holds(status(&[list], &authority, IN_2026), IN_2026));
}

#[test]
fn an_authority_without_a_list_leaves_the_status_unknown() {
    assert_eq!(status(&[], &authority(&[]), IN_2026), Status::Unlisted);
}

#[test]
fn a_stale_list_still_revokes_and_no_longer_vouches() {
    let authority = authority(&[]);
    let (empty, full) = (authority.list(None), authority.list(Some(RevocationReason::Superseded)));
    assert!(!holds(status(&[empty], &authority, IN_2028), IN_2028));
    assert_eq!(status(&[full], &authority, IN_2028), Status::Revoked);
}

#[test]
fn a_list_of_tomorrow_does_not_vouch_today() {
    let authority = authority(&[]);
    assert_eq!(status(&[authority.list(None)], &authority, IN_2025), Status::Unproven);
}

#[test]
fn a_list_counts_only_when_its_authority_signed_it_and_may() {
    let (ours, twin) = (authority(&[]), authority(&[]));
    for of_twin in [twin.list(None), twin.list(Some(RevocationReason::KeyCompromise))] {
        assert_eq!(status(std::slice::from_ref(&of_twin), &ours, IN_2026), Status::Unproven);
        let refused = lists().add(List::read(of_twin).unwrap(), &[parse(&ours.der)]);
        assert_eq!(refused, Err(CrlError::Signature));
    }
    let mut powerless = authority(&[KeyUsagePurpose::KeyCertSign]);
    powerless.params.key_usages.push(KeyUsagePurpose::CrlSign);
    assert_eq!(status(&[powerless.list(None)], &powerless, IN_2026), Status::Unproven);
}

#[test]
fn the_newest_edition_counts() {
    let authority = authority(&[]);
    let (on_hold, free) = (complete(1, Some(ON_HOLD)), complete(2, None));
    let both = [free, on_hold].map(|draft| draft.signed_by(&authority));
    assert!(holds(status(&both, &authority, IN_2026), IN_2026));
}

#[test]
fn a_list_of_users_or_of_everybody_vouches_for_a_user() {
    let authority = authority(&[]);
    for scope in [&[0x30, 0][..], &[0x30, 3, 0x81, 1, 0xff]] {
        let list = of_scope(scope).signed_by(&authority);
        assert!(holds(status(&[list], &authority, IN_2026), IN_2026), "{scope:?}");
    }
}

#[test]
fn a_list_of_another_scope_vouches_for_no_user_and_still_revokes() {
    let authority = authority(&[]);
    let authorities_only = &[0x30, 3, 0x82, 1, 0xff][..];
    let some_reasons = &[0x30, 4, 0x83, 2, 1, 0x40][..];
    let attributes_only = &[0x30, 3, 0x85, 1, 0xff][..];
    for scope in [authorities_only, some_reasons, attributes_only] {
        let list = of_scope(scope).signed_by(&authority);
        assert_eq!(status(&[list], &authority, IN_2026), Status::Unproven, "{scope:?}");
        let full = Draft { entry: Some(KEY_COMPROMISE), ..of_scope(scope) }.signed_by(&authority);
        assert_eq!(status(&[full], &authority, IN_2026), Status::Revoked, "{scope:?}");
    }
}

#[test]
fn a_list_of_one_distribution_point_vouches_only_for_certificates_that_name_it() {
    let (mut authority, elsewhere) = (authority(&[]), authority(&[]));
    let scope = |url: &str| {
        let names = tlv(0xa0, &tlv(0xa0, &tlv(0x86, url.as_bytes())));
        tlv(0x30, &names)
    };
    let mut leaf = CertificateParams::default();
    let uris = vec!["http://a.test/1.crl".to_owned()];
    leaf.crl_distribution_points.push(rcgen::CrlDistributionPoint { uris });
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    authority.leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
    let named = of_scope(&scope("http://a.test/1.crl")).signed_by(&authority);
    assert!(holds(status(&[named], &authority, IN_2026), IN_2026));
    let other = of_scope(&scope("http://a.test/2.crl")).signed_by(&authority);
    assert_eq!(status(&[other], &authority, IN_2026), Status::Unproven);
    let nameless = of_scope(&scope("http://a.test/1.crl")).signed_by(&elsewhere);
    assert_eq!(status(&[nameless], &elsewhere, IN_2026), Status::Unproven);
}

#[test]
fn an_indirect_list_or_one_of_an_unknown_scope_is_refused() {
    let authority = authority(&[]);
    for scope in [&[0x30, 3, 0x84, 1, 0xff][..], &[0x30, 3, 0x89, 1, 0xff], &[0x30, 3, 1, 1, 0xff], &[0x30, 2, 0x81]] {
        let list = of_scope(scope).signed_by(&authority);
        assert_eq!(List::read(list).map(|_| ()), Err(CrlError::Scope), "{scope:?}");
    }
}

#[test]
fn a_delta_adds_takes_off_and_freshens_a_list_that_it_completes() {
    let authority = authority(&[]);
    let of = |drafts: [Draft<'_>; 2]| drafts.map(|draft| draft.signed_by(&authority));
    let added = of([complete(3, None), delta(4, &[2, 1, 3], Some(KEY_COMPROMISE))]);
    assert_eq!(status(&added, &authority, IN_2026), Status::Revoked);
    let taken_off = of([complete(3, Some(ON_HOLD)), delta(4, &[2, 1, 3], Some(REMOVE_FROM_CRL))]);
    assert!(holds(status(&taken_off, &authority, IN_2028), IN_2028), "as fresh as the delta");
}

#[test]
fn a_delta_that_leaves_a_gap_vouches_for_nothing_and_still_revokes() {
    let authority = authority(&[]);
    let gap = |entry| [complete(2, None), delta(4, &[2, 1, 3], entry)].map(|draft| draft.signed_by(&authority));
    assert!(holds(status(&gap(None), &authority, IN_2026), IN_2026), "the complete list is fresh itself");
    assert!(!holds(status(&gap(None), &authority, IN_2028), IN_2028));
    assert_eq!(status(&gap(Some(KEY_COMPROMISE)), &authority, IN_2026), Status::Revoked);
    let alone = [delta(4, &[2, 1, 3], None).signed_by(&authority)];
    assert_eq!(status(&alone, &authority, IN_2026), Status::Unproven);
}

#[test]
fn a_delta_older_than_the_complete_list_says_nothing() {
    let authority = authority(&[]);
    let old = [complete(5, None), delta(4, &[2, 1, 3], Some(ON_HOLD))].map(|draft| draft.signed_by(&authority));
    assert!(holds(status(&old, &authority, IN_2026), IN_2026));
}

#[test]
fn lists_do_not_go_back_or_disappear() {
    let authority = authority(&[]);
    let set =
        |drafts: Vec<Draft<'_>>| read(&drafts.into_iter().map(|draft| draft.signed_by(&authority)).collect::<Vec<_>>());
    let falls_behind = |before: Vec<Draft<'_>>, now: Vec<Draft<'_>>| {
        let (before, now) = (set(before), set(now));
        now.setback_since(&before, |_| false).is_some()
    };
    assert!(falls_behind(vec![complete(5, None)], vec![complete(4, None)]));
    assert!(falls_behind(vec![complete(5, None)], vec![]));
    assert!(falls_behind(vec![complete(5, None), delta(6, &[2, 1, 5], None)], vec![complete(5, None)]));
    assert!(!falls_behind(vec![complete(5, None), delta(6, &[2, 1, 5], None)], vec![complete(6, None)]));
    assert!(!falls_behind(vec![complete(5, None)], vec![complete(4, None), complete(5, None)]));
    assert!(!falls_behind(vec![of_scope(&[0x30, 3, 0x81, 1, 0xff])], vec![complete(5, None)]));
    assert!(falls_behind(vec![complete(5, None)], vec![of_scope(&[0x30, 3, 0x81, 1, 0xff])]));
    let (before, now) = (set(vec![complete(5, None)]), set(vec![]));
    assert_eq!(now.setback_since(&before, |_| true), None, "it went together with its root");
}

#[test]
fn what_is_no_list_is_refused() {
    let authority = authority(&[]);
    let mut longer = authority.list(None);
    longer.push(0);
    for bytes in [longer, authority.der, Vec::new()] {
        assert_eq!(List::read(bytes).map(|_| ()), Err(CrlError::Syntax));
    }
}

proptest! {
    #[test]
    fn a_damaged_list_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static GOOD: std::sync::LazyLock<(Authority, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let authority = authority(&[]);
            let scope = (DISTRIBUTION_POINT, &[0x30, 5, 0xa0, 3, 0xa0, 1, 0x86][..]);
            let mut draft = delta(4, &[2, 1, 3], Some(ON_HOLD));
            draft.extensions.push(scope);
            let list = draft.signed_by(&authority);
            (authority, list)
        });
        let (authority, list) = &*GOOD;
        let mut bytes = list.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for bytes in [bytes[..at].to_vec(), bytes] {
            if let Ok(list) = List::read(bytes) {
                let mut lists = lists();
                lists.add(list, &[]).unwrap();
                lists.status(&parse(&authority.leaf), &[parse(&authority.der)], IN_2026);
            }
        }
    }
}
