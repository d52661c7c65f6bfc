//! The documents that the sandbox answers, and the comparison of a query with them.

/// A document of the exporter, by its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentOperation {
    Settings,
    EdgeHealth,
    EdgeTraffic,
    EdgeColos,
}

impl DocumentOperation {
    pub(super) const ALL: [Self; 4] = [Self::Settings, Self::EdgeHealth, Self::EdgeTraffic, Self::EdgeColos];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Settings => "MteSettings",
            Self::EdgeHealth => "MteEdgeHealth",
            Self::EdgeTraffic => "MteEdgeTraffic",
            Self::EdgeColos => "MteEdgeColos",
        }
    }

    pub(super) const fn document(self) -> &'static str {
        match self {
            Self::Settings => include_str!("settings.graphql"),
            Self::EdgeHealth => include_str!("edge_health.graphql"),
            Self::EdgeTraffic => include_str!("edge_traffic.graphql"),
            Self::EdgeColos => include_str!("edge_colos.graphql"),
        }
    }
}

/// Finds the operation with a document of the same tokens as `text`. The error is a message of the API.
pub(super) fn find_operation(text: &str) -> Result<DocumentOperation, String> {
    let named = DocumentOperation::ALL.into_iter().find(|operation| Some(operation.name()) == tokens(text).nth(1));
    let Some(operation) = named else {
        let known = DocumentOperation::ALL.map(DocumentOperation::name).join(", ");
        return Err(format!("unknown field: the sandbox answers only the operations {known}"));
    };
    let (mut sent, mut known) = (tokens(text), tokens(operation.document()));
    loop {
        match (sent.next(), known.next()) {
            (None, None) => return Ok(operation),
            (sent, known) if sent == known => {}
            (sent, known) => {
                let [sent, known] = [sent, known].map(|token| token.unwrap_or("end of document"));
                let name = operation.name();
                return Err(format!("unknown field `{sent}`: the document of {name} has `{known}` at this position"));
            }
        }
    }
}

/// Splits a document into names, numbers, strings and punctuators. Blanks, line breaks and commas separate tokens and
/// have no other meaning in GraphQL.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
        let first = rest.chars().next()?;
        let length = match first {
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
