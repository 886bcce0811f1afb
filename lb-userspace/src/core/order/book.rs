//! The book of orders.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{AtDeadline, Deadline, Order, Scope};
use crate::core::{event::Timestamp, sync::Store};

/// The orders that stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    orders: BTreeMap<Scope, Order>,
}

/// As it is kept in a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of this form.
    version: u32,
    orders: Vec<Order>,
    /// What the directors of a cluster said to each other of orders, those that were lifted among them.
    #[serde(default, skip_serializing_if = "Store::is_empty")]
    words: Store,
}

const VERSION: u32 = 1;

/// What time has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The order has ended by itself, and stands no more.
    Expired(Order),
    /// The flows that are left are to be ended; the order stands on.
    Deadline(Order, AtDeadline),
}

impl Book {
    /// Orders as they were given: a later one replaces an earlier one for the same scope.
    pub fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        let mut book = Self::default();
        for order in orders {
            book.place(order);
        }
        book
    }

    /// What [`Book::to_json`] wrote: the orders, and what was said of them in the cluster.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<(Self, Store), String> {
        let kept: Kept = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if kept.version != VERSION {
            return Err(format!(
                "it has version {}, this daemon writes {VERSION}",
                kept.version
            ));
        }
        Ok((Self::new(kept.orders), kept.words))
    }

    /// The book, to be kept in a file, with what was said of orders in the cluster.
    ///
    /// # Errors
    /// Never with memory enough.
    pub fn to_json(&self, words: &Store) -> Result<Vec<u8>, serde_json::Error> {
        let kept = Kept {
            version: VERSION,
            orders: self.orders.values().cloned().collect(),
            words: words.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&kept)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Enters an order, and returns the one that it replaces.
    pub fn place(&mut self, order: Order) -> Option<Order> {
        self.orders.insert(order.scope.clone(), order)
    }

    /// Takes out the order for this very scope.
    pub fn take(&mut self, scope: &Scope) -> Option<Order> {
        self.orders.remove(scope)
    }

    /// Takes out every order whose scope lies within this one, and returns them.
    pub fn lift(&mut self, scope: &Scope) -> Vec<Order> {
        self.orders
            .extract_if(.., |of, _| of.is_within(scope))
            .map(|(_, order)| order)
            .collect()
    }

    /// Takes out the orders whose scopes nobody knows any more, and returns them.
    pub fn retain(&mut self, known: impl Fn(&Scope) -> bool) -> Vec<Order> {
        self.orders
            .extract_if(.., |scope, _| !known(scope))
            .map(|(_, order)| order)
            .collect()
    }

    /// The order that counts for a backend.
    #[must_use]
    pub fn order(&self, service: &str, address: IpAddr) -> Option<&Order> {
        let covering = self
            .orders
            .values()
            .filter(|order| order.scope.covers(service, address));
        covering.max_by_key(|order| (order.command.strictness(), order.scope.narrowness()))
    }

    /// All orders.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// What time has brought up to `now`, the earliest first.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for order in self.orders.values_mut() {
            let last = order.until.map_or(now, |until| until.min(now));
            if let Some(deadline) = &mut order.deadline
                && !deadline.done
                && deadline.at <= last
            {
                deadline.done = true;
                let Deadline { at, then, .. } = *deadline;
                due.push((at, Due::Deadline(order.clone(), then)));
            }
        }
        let over = |_: &Scope, order: &mut Order| order.until.is_some_and(|until| until <= now);
        for (_, order) in self.orders.extract_if(.., over) {
            due.push((order.until.unwrap_or(now), Due::Expired(order)));
        }
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// When [`Book::advance`] has something to tell next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = |order: &Order| {
            order
                .deadline
                .filter(|deadline| !deadline.done)
                .map(|deadline| deadline.at)
        };
        let next = |order: &Order| [waiting(order), order.until].into_iter().flatten().min();
        self.orders.values().filter_map(next).min()
    }
}
