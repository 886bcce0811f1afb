//! Where connection IDs lead.

use super::*;

/// A connection ID leads to whoever has flows, and to the configured one of two that claim it.
#[test]
fn connection_ids_lead_to_backends_that_left_as_well() {
    let mut planner = planner();
    let wish = |ids: &[(u8, u32)]| {
        let mut wish = desired(&[service("web", 80, &[])], &[1, 2, 3]);
        wish.services[0].backends = ids
            .iter()
            .map(|&(n, id)| DesiredBackend {
                server_id: Some(id),
                ..DesiredBackend::new(address(n), 100)
            })
            .collect();
        wish
    };
    let mut ids = |wish: &Desired| {
        planner
            .plan(wish)
            .unwrap()
            .into_iter()
            .find_map(|step| match step {
                Step::SetServerIds(ids) => Some(
                    ids.into_iter()
                        .map(|(id, backend)| (id.id, backend))
                        .collect::<Vec<_>>(),
                ),
                _ => None,
            })
    };
    assert_eq!(ids(&wish(&[(1, 10), (2, 20)])), Some(vec![(10, 0), (20, 1)]));
    assert_eq!(ids(&wish(&[(1, 10), (2, 20)])), None);
    assert_eq!(ids(&wish(&[(1, 10)])), None, "the other may still have flows");
    assert_eq!(ids(&wish(&[(1, 10), (3, 20)])), Some(vec![(10, 0), (20, 2)]));
}
