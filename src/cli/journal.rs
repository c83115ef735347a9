//! `carnet journal`: reads the access journal and verifies its chain.

use clap::{Args, Subcommand};
use serde_json::json;

use super::record::read_ins;
use super::{Database, Ending, Settings, print_json, runtime, say, say_refusals};
use crate::domain::text::on_one_line;
use crate::identity::caller::Caller;
use crate::journal::chain::Verdict;
use crate::journal::event::{Actor, Event, Outcome, StatedPurpose, StatedUser, Subject};
use crate::journal::patient_view::{self, ActorType, Group};
use crate::operation::criteria::Direction;
use crate::operation::gateway::Gateway;
use crate::operation::outcome::Trace;
use crate::operation::trace::TraceCriteria;
use crate::refusal::Failure;

/// Read the access journal; verify that nothing in it was changed
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
  carnet journal verify --json";

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
    /// Walk the chain: prints its head, or the first line that was changed, removed or moved
    Verify,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    runtime()?.block_on(async {
        let gateway = arguments.settings.open(Database::MustExist).await?;
        let done = match &arguments.action {
            Action::Show { ins: Some(ins), patient: true } => show_patient(&gateway, ins, arguments.json).await,
            Action::Show { ins, .. } => show(&gateway, ins.as_deref(), arguments.json).await,
            Action::Verify => verify(&gateway, arguments.json).await,
        };
        done.or_else(|failure| say_refusals(failure, arguments.json))
    })
}

async fn show(gateway: &Gateway, ins: Option<&str>, json: bool) -> Result<Ending, Failure> {
    const LINES_AT_ONCE: u32 = 500;
    let ins = ins.map(|text| read_ins(text, &gateway.config)).transpose()?;
    gateway.note_journal_reading(ins.as_ref()).await?;
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

async fn verify(gateway: &Gateway, json: bool) -> Result<Ending, Failure> {
    let verdict = gateway.verify_journal().await?;
    if json {
        print_json(&json!(verdict));
    } else {
        say(&match &verdict {
            Verdict::Intact { lines, head } => format!("intact: {lines} lines, head {head}"),
            Verdict::Broken { position, problem } => format!("BROKEN at line {position}: {problem}"),
        });
    }
    Ok(if matches!(verdict, Verdict::Intact { .. }) { Ending::Done } else { Ending::Refused })
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
