//! `carnet journal`: reads the access journal and verifies its chain.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::record::read_ins;
use super::{Database, Ending, Settings, print_json, runtime, say, say_refusals};
use crate::domain::text::on_one_line;
use crate::identity::caller::Caller;
use crate::journal::event::{Actor, Event, Outcome, StatedPurpose, StatedUser, Subject};
use crate::journal::patient_view::{self, ActorType, Group};
use crate::journal::verify::{Break, Evidence, Verdict};
use crate::operation::criteria::Direction;
use crate::operation::gateway::Gateway;
use crate::operation::journal::{public_key, read_public_key};
use crate::operation::outcome::Trace;
use crate::operation::trace::TraceCriteria;
use crate::refusal::{Failure, Fault};

/// Read the access journal; verify that nothing in it was changed, removed or moved
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    settings: Settings,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLE: &str = "Examples:
  carnet journal show --ins 279035121518989
  carnet journal show --ins 279035121518989 --patient
  carnet journal verify --json
  carnet journal key > journal.pub
  carnet journal verify --public-key journal.pub --heads heads-from-elsewhere.jsonl";

#[derive(Subcommand)]
enum Action {
    /// Print the lines, oldest first
    Show {
        /// Only the lines of this patient's record
        #[arg(long)]
        ins: Option<String>,
        /// As the patient reads it: in plain French, by group, without what they may not see yet
        #[arg(long, requires = "ins")]
        patient: bool,
    },
    /// Walk the chains: prints the head, or the first line that was changed, removed or moved
    Verify(Asked),
    /// Print the public key that verifies the journal's heads, in PEM
    Key,
}

#[derive(Args)]
struct Asked {
    /// Only the chain of this patient's record; lines that were cut off its end show in the walk over all
    #[arg(long, conflicts_with_all = ["public_key", "heads"])]
    ins: Option<String>,
    /// Public key of the heads (`carnet journal key`), where the private one is not at hand
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Signed heads as they were shipped elsewhere, instead of the file beside the database
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let (settings, json) = (&arguments.settings, arguments.json);
    if matches!(arguments.action, Action::Key) {
        return print_key(settings, json);
    }
    runtime()?.block_on(async {
        if let Action::Show { ins: Some(ins), patient: true } = &arguments.action {
            // A reading that leaves a line, as the patient's own does; the others may be of a copy.
            let gateway = settings.open(Database::MustExist).await?;
            return show_patient(&gateway, ins, json).await.or_else(|failure| say_refusals(failure, json));
        }
        let gateway = settings.open_to_audit().await?;
        let done = match &arguments.action {
            Action::Show { ins, .. } => show(&gateway, ins.as_deref(), json).await,
            Action::Verify(asked) => verify(&gateway, asked, json).await,
            Action::Key => Ok(Ending::Done),
        };
        done.or_else(|failure| say_refusals(failure, json))
    })
}

async fn show(gateway: &Gateway, ins: Option<&str>, json: bool) -> Result<Ending, Failure> {
    const LINES_AT_ONCE: u32 = 500;
    let ins = ins.map(|text| read_ins(text, &gateway.config)).transpose()?;
    let mut after = 0;
    loop {
        let lines = gateway.list_journal(ins.as_ref(), after, LINES_AT_ONCE).await?;
        let Some((last, _)) = lines.last() else { return Ok(Ending::Done) };
        after = *last;
        for (position, event) in &lines {
            if json {
                print_json(&json!({ "position": position, "event": event }));
            } else if ins.is_some() {
                say(&format!("{position:>5}  {}", sentence(event)));
            } else {
                say(&format!("{position:>5}  {}{}", sentence(event), record_of(event)));
            }
        }
    }
}

/// Under each heading the lines of its group, oldest first.
async fn show_patient(gateway: &Gateway, ins: &str, json: bool) -> Result<Ending, Failure> {
    let patient = Some(read_ins(ins, &gateway.config)?);
    let mut criteria = TraceCriteria { patient, direction: Direction::Ascending, ..TraceCriteria::default() };
    criteria.page.size = TRACES_AT_ONCE;
    let mut traces = Vec::new();
    loop {
        let page = gateway.read_journal(&Caller::Operator, &criteria).await?.disclose();
        traces.extend(page.traces);
        criteria.page.offset += u64::from(TRACES_AT_ONCE);
        criteria.before = Some(page.before);
        if criteria.page.offset >= page.total {
            break;
        }
    }
    let phrase = |event: &Event| patient_view::sentence(event, &gateway.terminology);
    for group in [Group::MedicalDocument, Group::General] {
        if !json {
            say(group.heading());
        }
        for Trace { id, event, .. } in traces.iter().filter(|trace| Group::of(&trace.event) == group) {
            if json {
                let actor_type = ActorType::of(&event.actor).code();
                let (group, text) = (group.code(), phrase(event));
                print_json(
                    &json!({ "id": id.to_string(), "at": event.at, "group": group, "actor_type": actor_type, "text": text }),
                );
            } else {
                say(&format!("  {}", phrase(event)));
            }
        }
    }
    Ok(Ending::Done)
}

async fn verify(gateway: &Gateway, asked: &Asked, json: bool) -> Result<Ending, Failure> {
    let verdict = if let Some(ins) = &asked.ins {
        gateway.verify_record(&read_ins(ins, &gateway.config)?).await?
    } else {
        let own = || public_key(&gateway.config);
        let key = asked.public_key.as_deref().map_or_else(own, read_public_key)?;
        if let Some(file) = &asked.heads {
            // One that is named must be there: a mistyped path would prove less than was asked for.
            std::fs::metadata(file).map_err(|error| Fault::new("--heads", error))?;
        }
        let heads_file = asked.heads.clone().unwrap_or_else(|| gateway.config.heads_file_path());
        gateway.audit_journal(&Evidence { key, heads_file }).await?
    };
    if json {
        let mut told = json!(verdict);
        if let Verdict::Broken(place) = &verdict {
            told["meaning"] = place.problem.words().into();
        }
        print_json(&told);
    } else {
        say(&verdict_words(&verdict));
    }
    Ok(if matches!(verdict, Verdict::Broken(_)) { Ending::Refused } else { Ending::Done })
}

fn print_key(settings: &Settings, json: bool) -> anyhow::Result<Ending> {
    let key = public_key(&settings.load()?)?;
    if json {
        print_json(&json!({ "key_id": key.id(), "pem": key.pem() }));
    } else {
        say(key.pem().trim_end());
    }
    Ok(Ending::Done)
}

/// What a walk found, in words.
pub(super) fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Intact { lines, head, signed_heads, heads_in_file, unreadable_in_file } => {
            let heads = format!("{signed_heads} signed heads kept, {heads_in_file} of them in the file");
            let unreadable = match unreadable_in_file {
                0 => String::new(),
                count => format!("; {count} lines of the file hold no head of this database"),
            };
            format!("intact: {lines} lines, head {head}\n{heads}{unreadable}")
        }
        Verdict::RecordIntact { lines } => format!("intact: {lines} lines of this record"),
        Verdict::Broken(Break { position, of_record, problem }) => {
            let of_record = of_record.as_ref().map_or(String::new(), |of_record| {
                format!(" (line {} of record {})", of_record.position, on_one_line(&of_record.dossier_id))
            });
            format!("BROKEN at line {position}{of_record}: {}", problem.words())
        }
    }
}

/// Among the lines of all records: whose this one is.
fn record_of(event: &Event) -> String {
    match &event.dossier {
        Subject::Dossier(id) => format!("  [record {id}]"),
        Subject::Dossiers(ids) => format!("  [{} records]", ids.len()),
        Subject::Unknown => String::new(),
    }
}

fn user_in_words(user: &StatedUser) -> String {
    match user {
        StatedUser::Unstated | StatedUser::Patient => "the patient".to_owned(),
        StatedUser::LegalRepresentative(id) => format!("a legal representative ({id})"),
        StatedUser::Aidant(id) => format!("an aidant ({id})"),
    }
}

/// One line in words: when, who, what, with which outcome, on which documents.
pub(super) fn sentence(event: &Event) -> String {
    let who = match &event.actor {
        Actor::Professional { ps_id, family, given, .. } => format!("{given} {family} ({ps_id})"),
        Actor::AirProfessional { ps_id, name, structure, .. } => format!("{name} ({ps_id}) at {structure}"),
        Actor::Employee { card_id, structure, .. } => format!("an employee ({card_id}) of {structure}"),
        Actor::Structure { struct_id, name } => format!("{name} ({struct_id})"),
        Actor::PatientPortal { name, user, .. } => format!("{}, through {name}", user_in_words(user)),
        Actor::Operator => "the operator".to_owned(),
        Actor::System => "the gateway".to_owned(),
        Actor::Unidentified { certificate_serial, holder } if holder.is_empty() => {
            format!("certificate {certificate_serial}")
        }
        Actor::Unidentified { certificate_serial, holder } => format!("certificate {certificate_serial} of {holder}"),
    };
    let purpose = match &event.purpose {
        StatedPurpose::Normal | StatedPurpose::NotRead => String::new(),
        StatedPurpose::BrisDeGlace { reason } => format!(" [bris de glace: {reason}]"),
        StatedPurpose::Centre15 => " [centre 15]".to_owned(),
    };
    let result = match &event.result {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::DoneBefore => "already done".to_owned(),
        Outcome::Denied { rule } => format!("DENIED ({rule})"),
        Outcome::Refused { rules } => format!("refused ({})", rules.join(", ")),
        Outcome::NotFound => "not found".to_owned(),
    };
    let entries: Vec<String> =
        event.entries.iter().map(|entry| format!("{} \"{}\"", entry.type_code, entry.title)).collect();
    let documents = if entries.is_empty() { String::new() } else { format!(": {}", entries.join(", ")) };
    let at = event.at.strftime("%Y-%m-%d %H:%M:%S");
    // Titles, names and reasons are their senders' words.
    on_one_line(&format!("{at}  {who}{purpose}  {}  {result}{documents}", event.action.words())).into_owned()
}

const TRACES_AT_ONCE: u32 = 500;
