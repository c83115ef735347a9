//! The shared health record in the field's own terms, independent of FHIR, XDS and SQL.
//!
//! Text becomes a typed value here, once, by `FromStr`; nothing further in has to check it again.
//! No I/O. Source: domain digest sections A and D (CI-SIS, DMP, IHE XDS metadata).

pub mod association;
pub mod author;
pub mod code;
pub mod confidentiality;
pub mod consent;
pub mod criteria;
pub mod document_entry;
pub mod dossier;
pub mod dtm;
pub mod french_date;
pub mod ids;
pub mod ins;
pub mod mail_address;
pub mod national_id;
pub mod notice;
pub mod oid;
pub mod patient;
pub mod seal;
pub mod sha;
pub mod status;
pub mod submission_set;
pub mod text;
pub mod trace;
pub mod value_set;
