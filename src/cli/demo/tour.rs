//! The tour itself: each step acts as one of the cast, over TLS, and checks that it went as told.

use anyhow::Context as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::cast::CAST;
use super::legacy::write_package;
use super::stage::{Answer, Stage};
use crate::cda::header::CdaHeader;
use crate::cli::import::{Mode, import};
use crate::cli::journal::{sentence, verdict_words};
use crate::cli::message::{Provided, consent, new_oid, provision_for, provision_mask};
use crate::cli::say;
use crate::cli::specimen::Specimen;
use crate::domain::code::Code;
use crate::domain::ids::UniqueId;
use crate::journal::verify::Verdict;
use crate::xdm::folder::list_sources;

/// Walks the tour. `true` when every step went as told.
pub(super) async fn walk(stage: &mut Stage) -> anyhow::Result<bool> {
    let mut tour = Tour { stage, went_well: true };
    tour.introduce();
    let letter = tour.deposits().await?;
    tour.migrate().await?;
    tour.authorise().await?;
    tour.read_before().await?;
    tour.patient_decides().await?;
    tour.read_after().await?;
    tour.replace(&letter).await?;
    tour.refusals().await?;
    tour.emergency().await?;
    tour.journal().await?;
    tour.leave_a_bundle()?;
    Ok(tour.went_well)
}

struct Tour<'s> {
    stage: &'s mut Stage,
    went_well: bool,
}

/// A deposited document: what was sent, and the id it got.
struct Deposit {
    id: String,
    content: Vec<u8>,
}

const READERS: [(&str, &str); 3] =
    [("martin", "Dr Martin, médecin traitant"), ("petit", "Mme Petit, nurse"), ("bernard", "Dr Bernard, cardiologist")];

impl Tour<'_> {
    fn introduce(&self) {
        say("Carnet: one patient, three depositors, one list that decides.\n");
        say(&format!("  gateway    {}", self.stage.base));
        say(&format!("  operators  http://{}/metrics", self.stage.running.operators));
        say(&format!("  folder     {}", self.stage.folder.display()));
        say(&format!("  patient    {} (fictitious)", self.stage.patient.masked()));
    }

    /// Prints what happened, and notes when it is not what was told.
    fn check(&mut self, expected: bool, text: &str) {
        self.went_well &= expected;
        say(&format!("  {} {text}", if expected { "✓" } else { "✗" }));
    }

    async fn deposits(&mut self) -> anyhow::Result<Deposit> {
        title("1. Three sources deposit, each with its own certificate (ITI-65)");
        let letter = self.deposit("hospital", "discharge letter (LDL-SES)", Specimen::ldl_ses()).await?;
        self.deposit("laboratory", "blood test, level 3 with its PDF (CR-BIO)", Specimen::cr_bio()).await?;
        self.deposit("radiology", "imaging report (CR-IMG)", Specimen::cr_img()).await?;
        Ok(letter)
    }

    async fn deposit(&mut self, name: &str, what: &str, specimen: Specimen) -> anyhow::Result<Deposit> {
        let unique_id = new_oid();
        let content = self.write_specimen(specimen, &unique_id)?;
        let (type_code, title) = facts_of(&content)?;
        let provided = Provided {
            patient: &self.stage.patient,
            unique_id: &unique_id,
            type_code: (&type_code.system, &type_code.code),
            title: &title,
            mime_type: "text/xml",
            content: &content,
            replaces: None,
        };
        let bundle = provided.bundle();
        let answer = self.stage.post(name, "", &bundle).await?;
        let id = created_id(&answer);
        self.check(id.is_some(), &format!("{name}: {what}: {}", told(&answer)));
        let id = id.unwrap_or_default();
        if name == "hospital" {
            let again = self.stage.post(name, "", &bundle).await?;
            let same = created_id(&again).as_deref() == Some(&id);
            self.check(same, "sent again, the same submission gets the same answer and nothing is stored twice");
        }
        self.stage.deposited.push(json!({
            "by": name,
            "id": id,
            "unique_id": unique_id.to_urn(),
            "type": type_code.code,
            "title": title,
            "size": content.len(),
        }));
        self.stage.write_summary()?;
        Ok(Deposit { id, content })
    }

    fn write_specimen(&self, specimen: Specimen, unique_id: &UniqueId) -> anyhow::Result<Vec<u8>> {
        let UniqueId::Oid(oid) = unique_id else { anyhow::bail!("specimens are named by OID") };
        Ok(specimen.for_patient(&self.stage.patient).with_id(oid).build())
    }

    async fn migrate(&mut self) -> anyhow::Result<()> {
        title("2. A legacy package is migrated (IHE_XDM)");
        let unique_id = new_oid();
        let specimen = Specimen::vsm_legacy();
        let content = self.write_specimen(specimen, &unique_id)?;
        let path = self.stage.folder.join("legacy.zip");
        let package = write_package(&self.stage.running.gateway, &self.stage.patient, content)?;
        std::fs::write(&path, package).context("write the legacy package")?;
        let listing = list_sources(&[path])?;
        for (expected, what) in [((1, 0), "carnet import legacy.zip"), ((0, 1), "and again, as after a broken-off run")]
        {
            let gateway = &self.stage.running.gateway;
            let counts = import(gateway, &listing, Mode::Deposit, &mut std::io::sink()).await?.counts;
            let told =
                format!("{} stored, {} already there, {} refused", counts.stored, counts.already_there, counts.refused);
            self.check(
                (counts.stored, counts.already_there) == expected && counts.refused == 0,
                &format!("{what}: {told}"),
            );
        }
        Ok(())
    }

    async fn authorise(&mut self) -> anyhow::Result<()> {
        title("3. The patient authorises three professionals (Consent, TD0.3)");
        let answer = self.stage.get("petit", &self.search_path()).await?;
        self.check(
            answer.status == StatusCode::FORBIDDEN,
            &format!("before that, Mme Petit reads nothing: {}", told(&answer)),
        );
        for (name, who) in READERS {
            let ps = id_of(name)?.parse()?;
            let permit = consent(&self.stage.patient, &provision_for("permit", &ps));
            let answer = self.stage.post(name, "/Consent", &permit).await?;
            self.check(
                answer.status == StatusCode::CREATED,
                &format!("{who} declares the patient's consent: {}", told(&answer)),
            );
        }
        let ps = id_of("martin")?.parse()?;
        let mut provision = provision_for("permit", &ps);
        provision["actor"][0]["role"] = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction", "code": "PCP" }] });
        let answer = self.stage.post("portal", "/Consent", &consent(&self.stage.patient, &provision)).await?;
        self.check(
            answer.status == StatusCode::CREATED,
            &format!("the patient names Dr Martin médecin traitant: {}", told(&answer)),
        );
        Ok(())
    }

    async fn read_before(&mut self) -> anyhow::Result<()> {
        title("4. All three see the whole record (ITI-67)");
        for (name, who) in READERS {
            let titles = self.titles(name).await?;
            self.check(titles.as_ref().is_some_and(|titles| titles.len() == 4), &format!("{who}: {}", listed(titles)));
        }
        Ok(())
    }

    async fn patient_decides(&mut self) -> anyhow::Result<()> {
        title("5. The patient blocks Dr Bernard and masks the imaging report");
        let ps = id_of("bernard")?.parse()?;
        let block = consent(&self.stage.patient, &provision_for("deny", &ps));
        let answer = self.stage.post("portal", "/Consent", &block).await?;
        self.check(answer.status == StatusCode::CREATED, &format!("block: {}", told(&answer)));
        let mask = consent(&self.stage.patient, &provision_mask(&self.deposited_id(2)));
        let answer = self.stage.post("portal", "/Consent", &mask).await?;
        self.check(answer.status == StatusCode::CREATED, &format!("mask: {}", told(&answer)));
        Ok(())
    }

    async fn read_after(&mut self) -> anyhow::Result<()> {
        title("6. From the next request on, they see different things");
        for ((name, who), expected) in READERS.into_iter().zip([Some(4), Some(3), None]) {
            let titles = self.titles(name).await?;
            let as_told = titles.as_ref().map(Vec::len) == expected;
            self.check(as_told, &format!("{who}: {}", listed(titles)));
        }
        let (masked, blood_test) = (self.deposited_id(2), self.deposited_id(1));
        let hidden = self.stage.get("petit", &format!("/Binary/{masked}")).await?;
        let absent = self.stage.get("petit", &format!("/Binary/{}", crate::clock::new_uuid())).await?;
        self.check(same_but_for_id(&hidden, &absent), "the masked report and a document that never was: the same 404");
        let read = self.stage.get("petit", &format!("/Binary/{blood_test}")).await?;
        let whole = self.stage.deposited.get(1).is_some_and(|deposit| deposit["size"] == read.body.len());
        self.check(
            read.status == StatusCode::OK && whole,
            &format!("Mme Petit reads the blood test: {} bytes", read.body.len()),
        );
        let report = self.stage.get("martin", &format!("/Binary/{masked}")).await?;
        self.check(report.status == StatusCode::OK, "Dr Martin, médecin traitant, still reads the masked report");
        Ok(())
    }

    async fn replace(&mut self, letter: &Deposit) -> anyhow::Result<()> {
        title("7. The hospital corrects its letter (replacement)");
        let read = self.stage.get("martin", &format!("/Binary/{}", letter.id)).await?;
        self.check(read.body == letter.content, "what went in comes out, bit for bit");
        let unique_id = new_oid();
        let content = self.write_specimen(Specimen::ldl_ses(), &unique_id)?;
        let (type_code, _) = facts_of(&content)?;
        let provided = Provided {
            patient: &self.stage.patient,
            unique_id: &unique_id,
            type_code: (&type_code.system, &type_code.code),
            title: "Lettre de liaison à la sortie, corrigée",
            mime_type: "text/xml",
            content: &content,
            replaces: Some(&letter.id),
        };
        let bundle = provided.bundle();
        let answer = self.stage.post("hospital", "", &bundle).await?;
        self.check(created_id(&answer).is_some(), &format!("new version: {}", told(&answer)));
        let old = self.stage.get("martin", &format!("/DocumentReference/{}", letter.id)).await?;
        self.check(old.json()["status"] == "superseded", "the old one is superseded, in the same commit");
        Ok(())
    }

    async fn refusals(&mut self) -> anyhow::Result<()> {
        title("8. Refusals say what, where and why");
        let answer = self.stage.get("insurer", &self.search_path()).await?;
        self.check(answer.status == StatusCode::FORBIDDEN, &format!("an insurer: {}", told(&answer)));
        let anonymous = self.stage.anonymous()?;
        let request = http::Request::get(format!("{}/metadata", self.stage.base)).body(http_body_util::Empty::new())?;
        self.check(anonymous.send(request).await.is_err(), "no certificate: refused in the TLS handshake");
        let wrong_key = self.search_path().replace("804237", "804236");
        let answer = self.stage.get("martin", &wrong_key).await?;
        self.check(answer.status.is_client_error(), &format!("an INS with a wrong key: {}", told(&answer)));
        let typo = format!("{}&typ=11490-0", self.search_path());
        let answer = self.stage.get("martin", &typo).await?;
        self.check(answer.status == StatusCode::BAD_REQUEST, &format!("a misspelt parameter: {}", told(&answer)));
        Ok(())
    }

    async fn emergency(&mut self) -> anyhow::Result<()> {
        title("9. A glass is broken, and the patient reads it (AuditEvent)");
        let why = [("x-purpose-of-use", "bris_de_glace"), ("x-access-reason", "patient inconscient")];
        let read = self.stage.get_stating("petit", &self.search_path(), &why).await?;
        self.check(read.status == StatusCode::OK, "Mme Petit, bris de glace with her reason: what is not masked");
        let patient = self.stage.patient.to_string();
        let path = self.search_path().replace("DocumentReference", "AuditEvent").replace("&status=current", "");
        let traces = self
            .stage
            .get_stating("portal", &path, &[("x-on-behalf-of", &patient), ("x-portal-user", "patient")])
            .await?;
        let traces = traces.json();
        let entries = traces["entry"].as_array().cloned().unwrap_or_default();
        let told = |entry: &Value| Some(words_of(entry["resource"]["text"]["div"].as_str()?));
        let broken = entries.iter().filter_map(told).find(|text| text.contains("bris de glace"));
        self.check(broken.is_some(), &broken.unwrap_or_default());
        Ok(())
    }

    async fn journal(&mut self) -> anyhow::Result<()> {
        title("10. The journal, as it stands on the disk");
        let gateway = &self.stage.running.gateway;
        let lines = gateway.list_journal(Some(&self.stage.patient), 0, u32::MAX).await?;
        for (position, event) in &lines {
            say(&format!("  {position:>3}  {}", sentence(event)));
        }
        let verdict = gateway.verify_journal().await?;
        let text = match &verdict {
            Verdict::Intact { lines, head, .. } => {
                format!("{lines} lines, each sealed with the one before; head {}…", &head[..16])
            }
            broken => verdict_words(broken),
        };
        self.check(matches!(verdict, Verdict::Intact { .. }), &text);
        Ok(())
    }

    /// A deposit that nobody has sent yet, in `bundle.json`, for the reader's own first try.
    fn leave_a_bundle(&self) -> anyhow::Result<()> {
        let unique_id = new_oid();
        let content = self.write_specimen(Specimen::ldl_ses(), &unique_id)?;
        let (type_code, title) = facts_of(&content)?;
        let provided = Provided {
            patient: &self.stage.patient,
            unique_id: &unique_id,
            type_code: (&type_code.system, &type_code.code),
            title: &title,
            mime_type: "text/xml",
            content: &content,
            replaces: None,
        };
        std::fs::write(self.stage.folder.join("bundle.json"), provided.bundle().to_string())
            .context("write bundle.json")
    }

    /// Titles that a reader's search lists; `None` when the search is refused.
    async fn titles(&self, name: &str) -> anyhow::Result<Option<Vec<String>>> {
        let answer = self.stage.get(name, &self.search_path()).await?;
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        let bundle = answer.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let title = |entry: &Value| entry["resource"]["content"][0]["attachment"]["title"].as_str().map(str::to_owned);
        Ok(Some(entries.iter().filter_map(title).collect()))
    }

    fn search_path(&self) -> String {
        let patient = &self.stage.patient;
        let token = format!("urn:oid:{}%7C{}", patient.authority().oid(), patient.matricule());
        format!("/DocumentReference?patient.identifier={token}&status=current")
    }

    fn deposited_id(&self, index: usize) -> String {
        let id = self.stage.deposited.get(index).and_then(|deposit| deposit["id"].as_str());
        id.unwrap_or_default().to_owned()
    }
}

/// The text of a narrative, which is one paragraph.
fn words_of(div: &str) -> String {
    let inner = div.split(['<', '>']).find(|part| part.starts_with("Le ")).unwrap_or_default();
    inner.replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&")
}

fn title(text: &str) {
    say(&format!("\n{text}"));
}

fn id_of(name: &str) -> anyhow::Result<&'static str> {
    let member = CAST.iter().find(|member| member.name == name);
    Ok(member.with_context(|| format!("{name} is not in the cast"))?.id)
}

/// Type and title, as the document's own header says.
fn facts_of(cda: &[u8]) -> anyhow::Result<(Code, String)> {
    let header = CdaHeader::from_slice(cda, "specimen")?;
    Ok((header.code, header.title.unwrap_or_default()))
}

/// Status and, for a refusal, its explanation.
fn told(answer: &Answer) -> String {
    let body = answer.json();
    match body["issue"][0]["diagnostics"].as_str() {
        Some(diagnostics) => format!("{}: {diagnostics}", answer.status),
        None => answer.status.to_string(),
    }
}

/// The id that an ITI-65 answer gives the DocumentReference.
fn created_id(answer: &Answer) -> Option<String> {
    let body = answer.json();
    let locations = body["entry"].as_array()?.iter().filter_map(|entry| entry["response"]["location"].as_str());
    let location = locations.into_iter().find_map(|location| location.split("DocumentReference/").nth(1))?;
    Some(location.split('/').next()?.to_owned())
}

fn listed(titles: Option<Vec<String>>) -> String {
    match titles {
        Some(titles) => format!("{} documents: {}", titles.len(), titles.join(" · ")),
        None => "refused".to_owned(),
    }
}

/// Equal answers, the id of the answer aside.
fn same_but_for_id(one: &Answer, other: &Answer) -> bool {
    let without_id = |answer: &Answer| {
        let mut body = answer.json();
        body.as_object_mut().and_then(|body| body.remove("id"));
        (answer.status, body)
    };
    without_id(one) == without_id(other) && one.status == StatusCode::NOT_FOUND
}
