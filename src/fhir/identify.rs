//! Who makes a request, and their leave to make it: what comes before an operation.

use http::request::Parts;

use super::answer::Declined;
use super::authorization::{Presented, read_token};
use super::face::Face;
use super::routes::{Operation, operation_of};
use crate::identity::caller::{Caller, CallerHeaders, PurposeHeaders};
use crate::identity::session::SessionHeaders;
use crate::identity::token::Token;
use crate::limits::ration::Holder;
use crate::limits::turnstile::Entered;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::listener::{PresentedCertificate, RefusedCertificate};

impl Face {
    /// Who is calling. A certificate whose holder we cannot tell is refused here, not in the handshake.
    pub(super) async fn identify(&self, parts: &Parts) -> Result<Caller, Failure> {
        let presented = parts.extensions.get::<PresentedCertificate>();
        let presented = presented.ok_or_else(|| Fault::new("no client certificate", "the listener handed none on"))?;
        let certificate = match presented.as_ref() {
            Ok(certificate) => certificate,
            Err(refused) => return Err(self.turn_away_certificate(refused).await),
        };
        let presented = match read_token(&self.admission, certificate, parts).await {
            Ok(presented) => presented,
            Err(failure) => return Err(self.gateway.turn_away_unidentified(certificate, None, failure).await),
        };
        let token = presented.as_ref().map(Presented::token);
        let caller = match self.identify_holder(certificate, token, parts) {
            Ok(caller) => caller,
            Err(refusal) => {
                return Err(self.gateway.turn_away_unidentified(certificate, token, refusal.into()).await);
            }
        };
        // Last: what is stolen and brought over another connection is not used up by it.
        if let Some(Presented::Once(unused)) = presented
            && let Err(failure) = self.admission.vihf.take(unused).await
        {
            return Err(self.gateway.turn_away(&caller, failure).await);
        }
        Ok(caller)
    }

    /// The holder of a certificate, and what their token and headers say.
    fn identify_holder(
        &self,
        certificate: &ClientCertificate,
        token: Option<&Token>,
        parts: &Parts,
    ) -> Result<Caller, Refusal> {
        let purpose =
            PurposeHeaders { purpose: header(parts, "X-Purpose-Of-Use")?, reason: header(parts, "X-Access-Reason")? };
        let session = SessionHeaders {
            on_behalf_of: header(parts, "X-On-Behalf-Of")?,
            user: header(parts, "X-Portal-User")?,
            secret: header(parts, "X-Secret-Connection")?,
        };
        let headers = CallerHeaders { purpose, session };
        Caller::identify(certificate, token.cloned(), headers, &self.gateway.structures)
    }

    /// The failure of a certificate that was withdrawn since its handshake, or that has too many connections,
    /// whatever it asks.
    async fn check_standing(&self, parts: &Parts) -> Result<(), Failure> {
        const WHATEVER_IS_ASKED: [Rule; 2] = [Rule::CertificateWithdrawn, Rule::TooManyRequests];
        match parts.extensions.get::<PresentedCertificate>().map(AsRef::as_ref) {
            Some(Err(refused)) if WHATEVER_IS_ASKED.contains(&refused.refusal.rule) => {
                Err(self.turn_away_certificate(refused).await)
            }
            _ => Ok(()),
        }
    }

    async fn turn_away_certificate(&self, refused: &RefusedCertificate) -> Failure {
        self.gateway.turn_away_certificate(&refused.serial, refused.refusal.clone()).await
    }

    /// What is asked for, and the leave to ask it, with a body of `announced` bytes. What comes too often is refused
    /// before anything else is done.
    ///
    /// Errors: the certificate's, `TooManyRequests`, `RouteUnknown`, `Method`, `Busy`.
    pub(super) async fn admit(
        &self,
        path: &'static str,
        parts: &Parts,
        announced: Option<u64>,
    ) -> Result<(Operation, Entered), (Option<Operation>, Declined)> {
        // Only a fault of the listener leaves it out: then nobody is identified either.
        let holder = parts.extensions.get::<PresentedCertificate>().map(Holder::of);
        let turnstile = &self.gateway.turnstile;
        if let Some(Err(refusal)) = holder.as_ref().map(|holder| turnstile.pass(holder)) {
            return Err((None, refusal.into()));
        }
        self.check_standing(parts).await.map_err(|failure| (None, failure.into()))?;
        let operation = operation_of(path, &parts.method).map_err(|declined| (None, declined))?;
        let admission = match &holder {
            Some(holder) => turnstile.enter(holder, operation.lane(), announced),
            None => Ok(Entered::default()),
        };
        admission.map(|admission| (operation, admission)).map_err(|refusal| (Some(operation), refusal.into()))
    }
}

/// A header as text. Errors: `HeaderValue` for several of that name, and for bytes that are no text.
fn header<'a>(parts: &'a Parts, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let refused = |found, expected| Refusal::new(Rule::HeaderValue, format!("header {name}"), found, expected);
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(refused("several", "one, or none")),
        (Some(value), None) => {
            std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| refused("bytes that are no UTF-8", "text"))
        }
    }
}
