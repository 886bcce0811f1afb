//! It answers a DNS query.

use std::{str::FromStr as _, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType as Type},
};

use super::{peer::Peer, runner::Found, udp};
use crate::core::health::{Dns, RecordType};

pub(super) async fn probe(peer: &Peer, dns: &Dns, patience: Duration) -> Result<Found, String> {
    let name = Name::from_str(&dns.name).map_err(|error| format!("{}: {error}", dns.name))?;
    let id: u16 = rand::random();
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, record_type(dns.record)));
    let query = query.to_vec().map_err(|error| error.to_string())?;
    // An answer to something else is somebody's attempt to mislead us.
    let meant = |answer: &[u8]| answer.get(..2) == Some(&id.to_be_bytes()[..]);
    let answer = udp::ask(peer, &query, patience, meant).await?;
    let answer = Message::from_vec(&answer).map_err(|error| format!("no DNS answer: {error}"))?;
    let rcode = answer.metadata.response_code;
    if u16::from(rcode) != u16::from(dns.rcode) {
        return Err(format!("DNS response code {} ({rcode})", u16::from(rcode)));
    }
    let Some(expected) = &dns.answer else {
        return Ok(Found::WELL);
    };
    let texts: Vec<String> = answer
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    let same = |text: &String| text.trim_end_matches('.').trim_matches('"') == expected.trim_end_matches('.');
    if texts.iter().any(same) {
        Ok(Found::WELL)
    } else {
        Err(format!(
            "the DNS answer is {}",
            if texts.is_empty() {
                "empty".to_owned()
            } else {
                texts.join(", ")
            }
        ))
    }
}

const fn record_type(record: RecordType) -> Type {
    match record {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Mx => Type::MX,
        RecordType::Ns => Type::NS,
        RecordType::Soa => Type::SOA,
        RecordType::Txt => Type::TXT,
    }
}
