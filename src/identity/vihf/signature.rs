//! The signature of an assertion: its one admitted form, and whether it holds.
//!
//! The form is checked on our own reading first: one Reference to the id of the root, enveloped and exclusive c14n,
//! listed algorithms, nothing else inside. Then the library verifies with the one key of the certificate that was
//! read, and its list of what it verified must name the root. Source: C.1, XML Signature 1.1.

use bergshamra_dsig::verify::verify_document_with_source;
use bergshamra_dsig::{DsigContext, VerifyResult};
use bergshamra_keys::KeysManager;
use bergshamra_keys::loader::load_spki_der;
use bergshamra_xml::uppsala;

use super::assertion::form;
use super::tree::Node;
use crate::refusal::{Refusal, Rule};

/// What the signature says of itself.
#[derive(Debug)]
pub(super) struct SignatureForm {
    pub(super) method: &'static Algorithm,
    pub(super) digest: &'static Algorithm,
    /// DER, the signer's first.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// An algorithm that may be admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    uri: &'static str,
    pub(super) name: &'static str,
    pub(super) is_sha1: bool,
}

/// Reads the form of `signature`, which must sign the element of that id.
pub(super) fn read(signature: &Node, id: &str) -> Result<SignatureForm, Refusal> {
    let [signed, value, key] = children(signature, "Signature", ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let [canonicalization, method, reference] =
        children(signed, "SignedInfo", ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    if value.text.trim().is_empty() || !value.children.is_empty() {
        return Err(form("SignatureValue", "nothing that is a signature", "base64"));
    }
    check_exclusive(canonicalization)?;
    if !method.children.is_empty() {
        return Err(form("SignatureMethod", "parameters", "an algorithm alone"));
    }
    let uri = reference.attribute("URI").unwrap_or("nothing");
    if uri.strip_prefix('#') != Some(id) {
        return Err(form("Reference/@URI", uri, "`#` and the ID of the assertion"));
    }
    let [transforms, digest, _] = children(reference, "Reference", ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, exclusive] = children(transforms, "Transforms", ["Transform", "Transform"])?;
    let first = enveloped.attribute("Algorithm").unwrap_or("nothing");
    if first != ENVELOPED || !enveloped.children.is_empty() {
        return Err(form("Transforms/Transform[0]", first, ENVELOPED));
    }
    check_exclusive(exclusive)?;
    Ok(SignatureForm {
        method: algorithm(method, "SignatureMethod", METHODS)?,
        digest: algorithm(digest, "DigestMethod", DIGESTS)?,
        certificates: read_certificates(key)?,
    })
}

impl SignatureForm {
    /// Whether the algorithms are strong enough for this configuration.
    pub(super) fn check_strength(&self, sha1_allowed: bool) -> Result<(), Refusal> {
        let weak = [("SignatureMethod", self.method), ("DigestMethod", self.digest)];
        match weak.into_iter().find(|(_, algorithm)| algorithm.is_sha1 && !sha1_allowed) {
            Some((place, weak)) => {
                let expected = "SHA-256 or stronger; SHA-1 only where vihf.sha1 lets it in";
                Err(Refusal::new(Rule::VihfSignature, format!("VIHF, {place}"), weak.name, expected))
            }
            None => Ok(()),
        }
    }
}

/// Verifies with one key, DER of its SubjectPublicKeyInfo. `text` has the form that [`read`] admits.
pub(super) fn verify(text: &str, public_key: &[u8]) -> Result<(), Refusal> {
    let refused = |place: &str, found: &str| {
        let expected = "the signature of exactly these bytes: sign last, change nothing afterwards";
        Refusal::new(Rule::VihfSignature, format!("VIHF, {place}"), found, expected)
    };
    let key = load_spki_der(public_key).map_err(|_| refused("X509Certificate", "a key of another kind"))?;
    let document = uppsala::parse(text).map_err(|_| refused("Assertion", "XML that cannot be canonicalized"))?;
    let mut keys = KeysManager::new();
    keys.add_key(key);
    let context = DsigContext::new(keys);
    let verified = verify_document_with_source(&context, &document, Some(text))
        .map_err(|_| refused("Signature", "one that cannot be processed"))?;
    match verified {
        VerifyResult::Valid { references, signature_node, .. } => {
            let root = document.document_element();
            let [reference] = references.as_slice() else {
                return Err(refused("Signature", "several references"));
            };
            let covers_root = reference.digest_verified && reference.resolved_node == root;
            if covers_root && document.parent(signature_node) == root {
                Ok(())
            } else {
                Err(refused("Signature", "a signature of another element"))
            }
        }
        VerifyResult::Invalid { reason } if reason.starts_with("Reference digest") => {
            Err(refused("DigestValue", "a digest of other content"))
        }
        VerifyResult::Invalid { .. } => Err(refused("SignatureValue", "not made with the key of X509Certificate")),
    }
}

/// Exactly these children, in this order.
fn children<'n, const N: usize>(parent: &'n Node, place: &str, names: [&str; N]) -> Result<[&'n Node; N], Refusal> {
    let found: Vec<&Node> = parent.children.iter().collect();
    let as_named =
        found.iter().map(|node| node.name.as_str()).eq(names) && found.iter().all(|node| node.namespace == XMLDSIG);
    let shown = || found.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
    match <[&Node; N]>::try_from(found.as_slice()) {
        Ok(all) if as_named => Ok(all),
        _ => Err(form(place, &shown(), &names.join(", "))),
    }
}

fn check_exclusive(node: &Node) -> Result<(), Refusal> {
    let uri = node.attribute("Algorithm").unwrap_or("nothing");
    let only_prefixes = node.children.iter().all(|child| child.is(EXCLUSIVE, "InclusiveNamespaces"));
    if uri == EXCLUSIVE && only_prefixes { Ok(()) } else { Err(form(&node.name, uri, EXCLUSIVE)) }
}

fn algorithm(node: &Node, place: &str, known: &'static [Algorithm]) -> Result<&'static Algorithm, Refusal> {
    let uri = node.attribute("Algorithm").unwrap_or("nothing");
    known.iter().find(|algorithm| algorithm.uri == uri).ok_or_else(|| {
        let names: Vec<&str> = known.iter().filter(|one| !one.is_sha1).map(|one| one.name).collect();
        Refusal::new(Rule::VihfSignature, format!("VIHF, {place}"), uri, names.join(", "))
    })
}

fn read_certificates(key: &Node) -> Result<Vec<Vec<u8>>, Refusal> {
    const PLACE: &str = "KeyInfo/X509Data/X509Certificate";
    let data = key.children.iter().filter(|child| child.is(XMLDSIG, "X509Data"));
    let nodes = data.flat_map(|data| &data.children).filter(|child| child.is(XMLDSIG, "X509Certificate"));
    let mut certificates = Vec::new();
    for node in nodes {
        if certificates.len() == CERTIFICATES_MAX {
            return Err(form(PLACE, "more certificates", "at most 5: the signer's first"));
        }
        let base64: String = node.text.split_whitespace().collect();
        let der = base64_simd::STANDARD.decode_to_vec(base64);
        certificates.push(der.map_err(|_| form(PLACE, "something else than base64", "base64 of DER"))?);
    }
    if certificates.is_empty() {
        Err(form(PLACE, "nothing", "the certificate of the signer"))
    } else {
        Ok(certificates)
    }
}

pub(super) const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(super) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const CERTIFICATES_MAX: usize = 5;

const fn strong(uri: &'static str, name: &'static str) -> Algorithm {
    Algorithm { uri, name, is_sha1: false }
}

/// What the field signs with; the SHA-1 ones by configuration only.
const METHODS: &[Algorithm] = &[
    strong("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "rsa-sha256"),
    strong("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", "rsa-sha384"),
    strong("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "rsa-sha512"),
    strong("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "ecdsa-sha256"),
    strong("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", "ecdsa-sha384"),
    strong("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", "ecdsa-sha512"),
    Algorithm { uri: "http://www.w3.org/2000/09/xmldsig#rsa-sha1", name: "rsa-sha1", is_sha1: true },
];
const DIGESTS: &[Algorithm] = &[
    strong("http://www.w3.org/2001/04/xmlenc#sha256", "sha256"),
    strong("http://www.w3.org/2001/04/xmldsig-more#sha384", "sha384"),
    strong("http://www.w3.org/2001/04/xmlenc#sha512", "sha512"),
    Algorithm { uri: "http://www.w3.org/2000/09/xmldsig#sha1", name: "sha1", is_sha1: true },
];
