//! Which groups of families a scrape asks for: `collect[]` names those it wants, `exclude[]` those it does not want.

use web_toolkit::text::shown;

use crate::{
    domain::label::Label,
    exposition::{Group, Groups},
};

const COLLECT: &str = "collect[]";
const EXCLUDE: &str = "exclude[]";

/// The groups that the query of a scrape chooses; all, where it names none. Other parameters are none of ours.
///
/// # Errors
/// One sentence: a group that does not exist, or both parameters at once.
pub(super) fn groups(query: &str) -> Result<Groups, String> {
    let [collect, exclude] = [named(query, COLLECT)?, named(query, EXCLUDE)?];
    match (&collect[..], &exclude[..]) {
        (collect, []) if !collect.is_empty() => Ok(Groups::only(collect)),
        ([], exclude) => Ok(Groups::without(exclude)),
        _ => Err(format!("{COLLECT} and {EXCLUDE} cannot be combined: name the wanted groups, or the unwanted ones")),
    }
}

fn named(query: &str, parameter: &str) -> Result<Vec<Group>, String> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == parameter);
    pairs.map(|(_, value)| group(parameter, &value)).collect()
}

fn group(parameter: &str, name: &str) -> Result<Group, String> {
    Group::ALL.iter().copied().find(|group| group.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = Group::ALL.iter().map(|group| group.as_str()).collect();
        format!("{parameter}={}: there is no such group of metrics; there are {}", shown(name), known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scrape_chooses_the_groups_that_it_names() {
        let table = [
            ("", Groups::ALL),
            ("format=json&name=value", Groups::ALL),
            ("collect[]=bgp", Groups::only(&[Group::Bgp])),
            ("collect[]=bgp&collect[]=verdict&collect[]=bgp", Groups::only(&[Group::Bgp, Group::Verdict])),
            ("collect%5B%5D=health_check&x=1", Groups::only(&[Group::HealthCheck])),
            ("exclude[]=rtt", Groups::without(&[Group::Rtt])),
            ("exclude%5b%5d=rtt&exclude[]=exporter", Groups::without(&[Group::Rtt, Group::Exporter])),
        ];
        for (query, expected) in table {
            assert_eq!(groups(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn every_group_can_be_chosen_alone() {
        for &group in Group::ALL {
            let only = groups(&format!("collect[]={group}")).unwrap();
            let without = groups(&format!("exclude[]={group}")).unwrap();
            for &other in Group::ALL {
                assert_eq!((only.contains(other), without.contains(other)), (other == group, other != group));
            }
        }
    }

    #[test]
    fn a_mistake_gets_a_sentence_that_lists_what_there_is() {
        let known = "tunnels, info, bgp, health_check, probes, rtt, verdict, exporter";
        for (query, sentence) in [
            ("collect[]=unknown", format!("collect[]=unknown: there is no such group of metrics; there are {known}")),
            ("exclude[]=", format!("exclude[]=: there is no such group of metrics; there are {known}")),
            ("collect[]=BGP%0a", format!("collect[]=BGP: there is no such group of metrics; there are {known}")),
            (
                "collect[]=bgp&exclude[]=rtt",
                "collect[] and exclude[] cannot be combined: name the wanted groups, or the unwanted ones".to_owned(),
            ),
        ] {
            assert_eq!(groups(query), Err(sentence), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_answered_in_one_line(query in "[ -~]{0,60}|(collect\\[\\]=.{0,300})") {
            if let Err(sentence) = groups(&query) {
                prop_assert!(!sentence.contains('\n') && sentence.chars().count() < 400, "{}", sentence);
            }
        }
    }
}
