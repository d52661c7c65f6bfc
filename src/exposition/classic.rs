//! From OpenMetrics text to Prometheus text 0.0.4, for the metrics of the parts: their registry writes OpenMetrics alone.
//!
//! The samples of the two formats are the same to the letter; only the lines that begin with `#` differ. Label values hold no raw line
//! break, so every `#` after one begins such a line.

use memchr::memmem;

/// Rewrites the metadata: HELP and TYPE of a counter name its samples (`_total`), UNIT and EOF are dropped.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut classic = String::with_capacity(page.len() + page.len() / 64);
    let mut pending_help = "";
    let mut rest = page;
    while !rest.is_empty() {
        if rest.starts_with('#') {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            match line.split_once(' ').and_then(|(_, line)| line.split_once(' ')) {
                Some(("HELP", help)) => pending_help = help,
                Some(("TYPE", family)) => push_metadata(&mut classic, pending_help, family),
                _ => {}
            }
        } else {
            let end = memmem::find(rest.as_bytes(), b"\n#").map_or(rest.len(), |at| at + 1);
            classic.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    classic
}

/// Writes HELP and TYPE of a family; OpenMetrics puts HELP first, when the type is not known yet.
fn push_metadata(classic: &mut String, help: &str, family: &str) {
    let (name, metric_type) = family.split_once(' ').unwrap_or((family, "untyped"));
    let (suffix, metric_type) = match metric_type {
        "counter" => ("_total", "counter"),
        "unknown" => ("", "untyped"),
        "info" => ("_info", "gauge"),
        "stateset" => ("", "gauge"),
        other => ("", other),
    };
    let text = help.split_once(' ').map_or("", |(_, text)| text);
    for part in ["# HELP ", name, suffix, " ", text, "\n# TYPE ", name, suffix, " ", metric_type, "\n"] {
        classic.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metadata_differs_between_the_formats() {
        let open_metrics = "# HELP polls Polls.\n# TYPE polls counter\npolls_total{a=\"# TYPE\"} 3\n\
            # HELP age_seconds Age.\n# TYPE age_seconds gauge\n# UNIT age_seconds seconds\nage_seconds 1.5\nage_seconds{b=\"\\n#\"} 2\n\
            # HELP empty Nothing.\n# TYPE empty gauge\n# EOF\n";
        let classic = "# HELP polls_total Polls.\n# TYPE polls_total counter\npolls_total{a=\"# TYPE\"} 3\n\
            # HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 1.5\nage_seconds{b=\"\\n#\"} 2\n\
            # HELP empty Nothing.\n# TYPE empty gauge\n";
        assert_eq!(from_open_metrics(open_metrics), classic);
        assert_eq!(from_open_metrics("# EOF\n"), "");
    }
}
