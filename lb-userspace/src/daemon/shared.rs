//! Orders that hold on all directors of a cluster: what is said here goes to the others, and what they say holds here.
//!
//! The last word on a scope counts, by the cluster's time. What was said is kept with the orders, also that something was
//! lifted: or else a director that was away would bring back what the others have lifted meanwhile.

use std::time::Duration;

use tracing::warn;

use super::{director::Director, ha::clock, orders::covered, sync::Said};
use crate::core::{
    event,
    order::{Order, Scope},
    sync::{Outcome, Word},
};

/// Directors end an order within this time of each other.
const SAME_TIME: Duration = Duration::from_secs(60);

impl Director {
    /// Who ordered something for this scope, as it is understood wherever that is heard of.
    pub(super) fn known_to_all(&self, scope: &Scope, who: String) -> String {
        match (&self.sync, scope) {
            (None, _) | (_, Scope::Director) => who,
            (Some(_), _) => format!("{who} on {}", self.config.director.name),
        }
    }

    /// The cluster's time, in milliseconds.
    pub(super) fn cluster_ms(&self) -> u64 {
        match &self.sync {
            Some(sync) => sync.cluster_ms(clock::now()),
            None => self.orders.now().0,
        }
    }

    /// Says that these are the orders for these scopes now, or that there is none any more.
    pub(super) fn say(&mut self, orders: impl IntoIterator<Item = (Scope, Option<Order>)>) {
        let Some(identity) = &self.identity else {
            return;
        };
        let (author, now) = (identity.keyring.own(), self.cluster_ms());
        self.orders.words.tidy(now);
        let mut words = Vec::new();
        for (scope, order) in orders {
            let Some(key) = scope.key() else { continue };
            let value = order.as_ref().map(Order::to_value);
            match self.orders.words.say(&key, value, author, now) {
                Ok(Outcome::Taken(_)) => {
                    let word = self.orders.words.word(&key).cloned();
                    words.extend(word.map(|word| (key, word)));
                }
                Ok(Outcome::Known | Outcome::Overruled) => {}
                Err(error) => warn!(%error, "the order holds on this director alone"),
            }
        }
        self.pass_on(words);
    }

    pub(super) fn pass_on(&mut self, words: Vec<(String, Word)>) {
        if let Some(sync) = &mut self.sync
            && !words.is_empty()
        {
            sync.pass_on(words);
        }
    }

    /// Says which orders stand that the cluster has not heard of: they were given while there was none.
    pub(super) fn say_what_stands(&mut self) {
        let words = &self.orders.words;
        let unsaid = |order: &&Order| order.scope.key().is_some_and(|key| words.word(&key).is_none());
        let orders: Vec<_> = self.orders.book.iter().filter(unsaid).cloned().collect();
        self.say(orders.into_iter().map(|order| (order.scope.clone(), Some(order))));
    }

    /// Says everything again, if something did not get through.
    pub(super) fn say_again(&mut self) {
        if self.sync.as_mut().is_some_and(super::sync::Sync::take_unheard) {
            let words = self.orders.words.iter().chain(self.hearsay.words().iter());
            let words = words.map(|(key, word)| (key.to_owned(), word.clone())).collect();
            self.pass_on(words);
        }
    }

    /// Takes note of what other directors said, and does it.
    pub(super) fn hear(&mut self, said: Vec<Said>) {
        let cluster_ms = self.cluster_ms();
        let (mut is_new, mut is_found) = (false, false);
        for Said { key, word, director } in said {
            if let Some(is_news) = self.hear_verdict(&key, &word, cluster_ms) {
                is_found |= is_news;
                continue;
            }
            // A director of a later version may say more than is understood here.
            let Some(scope) = Scope::from_key(&key) else {
                continue;
            };
            let outcome = self.orders.words.merge(&key, word.clone(), cluster_ms);
            if !matches!(outcome, Some(Outcome::Taken(_))) {
                continue;
            }
            is_new = true;
            match &word.value {
                None => self.hear_lifted(&scope, &director),
                Some(value) => {
                    let ago = Duration::from_millis(cluster_ms.saturating_sub(word.stamp));
                    match Order::from_value(&key, value, ago, self.orders.now()) {
                        Some(order) => self.hear_order(order),
                        None => warn!(
                            key,
                            director,
                            "another director gave an order that this one does not understand: has it another version?"
                        ),
                    }
                }
            }
        }
        if is_new {
            self.watch_drains();
            drop(self.orders.keep());
        }
        if is_new || is_found {
            self.converge();
        }
    }

    fn hear_order(&mut self, order: Order) {
        let covers = self
            .members(&order.scope)
            .iter()
            .map(|member| covered(member).to_string())
            .collect();
        let instead_of = self.orders.book.place(order.clone()).map(Box::new);
        self.events.tell(event::Order::Placed {
            order,
            covers,
            instead_of,
        });
    }

    fn hear_lifted(&mut self, scope: &Scope, director: &str) {
        let Some(order) = self.orders.book.take(scope) else {
            return;
        };
        let has_ended = order
            .remaining(self.orders.now())
            .is_some_and(|left| left <= SAME_TIME);
        self.events.tell(if has_ended {
            event::Order::Expired { order }
        } else {
            event::Order::Lifted {
                order,
                who: format!("an operator on {director}"),
            }
        });
    }
}
