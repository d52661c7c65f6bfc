//! The table of results.

use std::fmt::Write as _;

/// All measured values.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

/// One measured value with its comparison and its goal.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) size: usize,
    pub(crate) ours: f64,
    pub(crate) unit: &'static str,
    /// Another tool or a lower bound, and its value.
    pub(crate) beside: Option<(&'static str, f64)>,
    /// Upper limit.
    pub(crate) goal: Option<f64>,
}

impl Row {
    pub(crate) fn beside_name(&self) -> Option<&'static str> {
        self.beside.map(|(name, _)| name)
    }

    pub(crate) fn is_above_goal(&self) -> bool {
        self.goal.is_some_and(|goal| self.ours > goal)
    }

    fn ratio(&self) -> String {
        let beside = self.beside.filter(|(_, theirs)| *theirs != 0.0);
        beside.map_or_else(String::new, |(_, theirs)| format!("{:.2}", self.ours / theirs))
    }

    fn result(&self) -> String {
        match self.goal {
            None => String::new(),
            Some(goal) if self.ours <= goal => "pass".to_owned(),
            Some(0.0) => "above the goal".to_owned(),
            Some(goal) => format!("{:.0} % above the goal", (self.ours / goal - 1.0) * 100.0),
        }
    }
}

impl Table {
    /// Adds a row and prints it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("{}", line(&row));
        self.0.push(row);
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.0
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | size | ours | compared with | theirs | ratio | goal | |\n|---|---:|---:|---|---:|---:|---:|---|\n",
        );
        for row in &self.0 {
            let _ = writeln!(text, "{}", line(row));
        }
        text
    }
}

fn line(row: &Row) -> String {
    let (name, theirs) = row.beside.map_or(("", String::new()), |(name, theirs)| (name, figure(theirs, row.unit)));
    let goal = row.goal.map_or_else(String::new, |goal| format!("≤ {}", figure(goal, row.unit)));
    let ours = figure(row.ours, row.unit);
    let Row { what, size, .. } = row;
    format!("| {what} | {size} | {ours} | {name} | {theirs} | {} | {goal} | {} |", row.ratio(), row.result())
}

fn figure(value: f64, unit: &str) -> String {
    let digits = if value.fract() == 0.0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}
