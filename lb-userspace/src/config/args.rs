//! A configuration without a file: `--interface eth0 --vip 192.0.2.10:80 --backend 10.0.0.11`.

use crate::config::Spanned;

use super::{
    ConfigError, Loaded, check,
    diagnostic::{Diagnostic, Source, quote},
    file::{Backend, Director, File, Service, unplaced},
    host_name,
};

/// Name of the one service.
const SERVICE: &str = "default";

/// Makes a configuration of one service, called `default`, which listens at `vips` (as under `listen` in the
/// file) and has
/// `backends`: addresses, each with `=WEIGHT` after it or not.
///
/// The rules and defaults are those of the file; errors quote the argument at fault.
pub fn from_args(interfaces: &[String], vips: &[String], backends: &[String]) -> Result<Loaded, ConfigError> {
    parse(interfaces, vips, backends, &host_name())
}

pub(super) fn parse(
    interfaces: &[String],
    vips: &[String],
    backends: &[String],
    host: &str,
) -> Result<Loaded, ConfigError> {
    let mut arguments = Arguments::default();
    let interfaces = interfaces
        .iter()
        .map(|name| arguments.push("--interface", name))
        .collect();
    let listen = vips.iter().map(|vip| arguments.push("--vip", vip)).collect();
    let backends = backends
        .iter()
        .map(|backend| arguments.backend(backend))
        .collect();
    let file = File {
        director: Director {
            name: None,
            interfaces: Some(unplaced(interfaces)),
            manage_vips: None,
            pool_share: None,
            track: None,
        },
        services: vec![Service {
            name: unplaced(SERVICE.to_owned()),
            listen: unplaced(listen),
            scheduler: None,
            table_size: None,
            hash_on: None,
            fallback: None,
            forward: None,
            tunnel: None,
            pool: None,
            check: None,
            health: None,
            slow_start: None,
            drain: None,
            timeouts: None,
            persistence: None,
            one_packet: None,
            on_unknown: None,
            on_gone: None,
            flood: None,
            quic: None,
            sync: None,
            backends,
        }],
        ..File::default()
    };
    let source = Source::unnumbered("command line", arguments.text);
    check(&file, source, host, arguments.errors)
}

/// The arguments written out, each on a line of its own, for errors to point into.
#[derive(Default)]
struct Arguments {
    text: String,
    errors: Vec<Diagnostic>,
}

impl Arguments {
    fn push(&mut self, option: &str, value: &str) -> Spanned<String> {
        self.text.push_str(option);
        self.text.push(' ');
        let start = self.text.len();
        self.text.push_str(value);
        let span = start..self.text.len();
        self.text.push('\n');
        Spanned::new(span, value.to_owned())
    }

    fn backend(&mut self, argument: &str) -> Backend {
        let whole = self.push("--backend", argument).span();
        let backend = |address: Spanned<String>, weight| Backend {
            name: None,
            address,
            port: None,
            weight,
            upper_threshold: None,
            lower_threshold: None,
            backup: None,
            server_id: None,
        };
        let Some((address, weight)) = argument.split_once('=') else {
            return backend(Spanned::new(whole, argument.to_owned()), None);
        };
        let middle = whole.start + address.len();
        let weight_span = middle + 1..whole.end;
        let number = weight.parse().map_err(|_| {
            let error = Diagnostic::error(format!("{} is not a weight", quote(weight)));
            self.errors
                .push(error.at(weight_span.clone(), "expected a number, as in 10.0.0.11=50"));
        });
        backend(
            Spanned::new(whole.start..middle, address.to_owned()),
            number.ok().map(|number| Spanned::new(weight_span, number)),
        )
    }
}
