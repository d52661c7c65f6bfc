//! Verdicts are read without colour: by a glyph beside each word, and by the luminance of its fill.

use serde_json::Value;

use super::{Browser, World};

/// Red, green and blue of linear light, 0 to 1.
type Colour = [f64; 3];

/// The matrix for deuteranopia of Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of
/// Color Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15(6), 2009, severity 1.0.
const DEUTERANOPIA: [[f64; 3]; 3] =
    [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]];

fn as_seen_with_deuteranopia(colour: Colour) -> Colour {
    DEUTERANOPIA.map(|row| row.iter().zip(colour).map(|(weight, light)| weight * light).sum::<f64>().clamp(0.0, 1.0))
}

/// Parses the computed value of a property: `rgb(1, 2, 3)`. `None` for a transparent colour.
fn parse(css: &str) -> Option<Colour> {
    let numbers = css.trim_start_matches(|letter: char| !letter.is_ascii_digit()).trim_end_matches(')').split(',');
    let numbers: Vec<f64> = numbers.map(|number| number.trim().parse().expect("a number")).collect();
    let light = |number: f64| match number / 255.0 {
        dark if dark <= 0.04045 => dark / 12.92,
        bright => ((bright + 0.055) / 1.055).powf(2.4),
    };
    let is_transparent = numbers.get(3) == Some(&0.0);
    (!is_transparent).then(|| [light(numbers[0]), light(numbers[1]), light(numbers[2])])
}

/// The contrast of WCAG 2, 1 to 21.
fn contrast(one: Colour, other: Colour) -> f64 {
    let luminance = |[red, green, blue]: Colour| 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    let (one, other) = (luminance(one), luminance(other));
    one.max(other) / one.min(other)
}

/// Glyph, fill, colour of the text, style of the border, and the fill of the nearest filled parent.
const MARK: &str = "
    const e = document.querySelector(SELECTOR), own = getComputedStyle(e);
    let ground = e.parentElement;
    while (ground && getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
    const glyph = getComputedStyle(e, '::before').content.match(/^\"(.)/)?.[1];
    return [glyph, own.backgroundColor, own.color, own.borderTopStyle, getComputedStyle(ground).backgroundColor];";

struct Mark {
    glyph: String,
    fill: Option<Colour>,
    text: Colour,
    border: String,
    ground: Colour,
}

fn mark(browser: &Browser, selector: &str) -> Mark {
    let found = browser.run(&MARK.replace("SELECTOR", &Value::from(selector).to_string()));
    let values: [String; 5] = serde_json::from_value(found).unwrap_or_else(|error| panic!("{selector}: {error}"));
    let [glyph, fill, text, border, ground] = values;
    let solid = |css: &str| parse(css).expect("a colour");
    Mark { glyph, fill: parse(&fill), text: solid(&text), border, ground: solid(&ground) }
}

#[test]
fn each_verdict_has_a_glyph_and_health_has_no_fill() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/");
    for kind in [".tunnels .badge", ".headline .tile"] {
        let glyphs = ["broken", "suspect", "unsure", "fine"];
        let glyphs = glyphs.map(|concern| mark(&browser, &format!("{kind}.{concern}")).glyph);
        assert_eq!(glyphs, ["✕", "!", "?", "✓"], "{kind}");
    }
    let fine = mark(&browser, ".tunnels .badge.fine");
    assert!(fine.fill.is_none(), "healthy has no fill");
    assert_eq!(mark(&browser, ".tunnels .badge.unsure").border, "dashed", "unknown has no fill either");
}

#[test]
fn fills_differ_in_luminance_with_and_without_deuteranopia() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.open(world.address(), "/");
        for kind in [".tunnels .badge", ".headline .tile"] {
            let [broken, suspect] = ["broken", "suspect"].map(|concern| mark(&browser, &format!("{kind}.{concern}")));
            let fill = |mark: &Mark| mark.fill.expect("a fill");
            let pairs = [
                ("broken and its ground", fill(&broken), broken.ground, 3.0),
                ("suspect and its ground", fill(&suspect), suspect.ground, 3.0),
                ("broken and suspect", fill(&broken), fill(&suspect), 3.0),
                ("the word on broken", broken.text, fill(&broken), 4.5),
                ("the word on suspect", suspect.text, fill(&suspect), 4.5),
            ];
            for (what, one, other, least) in pairs {
                let seen = contrast(as_seen_with_deuteranopia(one), as_seen_with_deuteranopia(other));
                let plain = contrast(one, other);
                assert!(plain >= least && seen >= least, "{scheme}, {kind}, {what}: {plain:.2}, simulated {seen:.2}");
            }
        }
    }
}

#[test]
fn the_simulation_keeps_grey_and_mixes_red_with_green() {
    let seen = |css: &str| as_seen_with_deuteranopia(parse(css).expect("a colour"));
    let [red, green, blue] = seen("rgb(128, 128, 128)");
    assert!((red - green).abs() < 1e-5 && (green - blue).abs() < 1e-5, "{red} {green} {blue}");
    let difference = |one: Colour, other: Colour| (one[0] - other[0]).abs() + (one[1] - other[1]).abs();
    let (one, other) = (seen("rgb(180, 60, 40)"), seen("rgb(92, 112, 40)"));
    assert!(difference(one, other) < 0.1, "{one:?} and {other:?}: red and green of the same luminance look alike");
}
