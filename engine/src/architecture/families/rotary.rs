//! How fast each pair of a head's numbers turns, with every kind of scaling.
//!
//! The formulas are those of transformers' `modeling_rope_utils.py`, in the same precision and order, so that the
//! frequencies are the same to the bit wherever the platform's power function is.

use super::config::{Config, Refusal, Sizes, WIDTH_MAX};
use crate::architecture::{Position, Rotary, RotaryLayout, Stretched};

/// What a model says of its rotary positions.
pub(crate) struct RotaryRule {
    /// Of a head, before the part that is not turned is taken off.
    pub(crate) head_width: usize,
    pub(crate) layout: RotaryLayout,
    /// Where the file says none.
    pub(crate) base: f32,
    pub(crate) turned: Turned,
    /// Most positions.
    pub(crate) window: usize,
    /// Positions that the model was first trained on, where the file says none.
    pub(crate) original: usize,
}

/// How much of a head turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Turned {
    /// All of it: transformers does not look for `partial_rotary_factor` in such a family.
    Whole,
    /// As the file says, and this much where it says nothing.
    Part(f32),
}

/// Names of the ways to scale, with those that older files use.
const KINDS: &[&str] = &["default", "linear", "dynamic", "llama3", "yarn", "longrope", "su"];

/// The table that counts: `rope_scaling` takes the place of `rope_parameters` as a whole, where it says anything.
///
/// # Errors
/// A sentence that names the key which is not understood, or is understood in two ways.
pub(crate) fn parameters<'a>(config: &Config<'a>) -> Result<Option<Config<'a>>, Refusal> {
    let says = |key: &str| Ok::<_, Refusal>(config.section(key)?.filter(|table| !table.values().is_empty()));
    let (scaling, parameters) = (says("rope_scaling")?, says("rope_parameters")?);
    let counted = scaling.map(|table| ("rope_scaling", table)).or(parameters.map(|table| ("rope_parameters", table)));
    if let Some((key, table)) = counted {
        check(key, &table)?;
    }
    Ok(counted.map(|(_, table)| table))
}

/// What a table says twice must agree, and what it says of parts of it is not run.
pub(crate) fn check(key: &str, table: &Config<'_>) -> Result<(), Refusal> {
    let kinds = [("rope_type", table.text("rope_type")?), ("type", table.text("type")?)];
    for (name, kind) in kinds {
        if let Some(other) = kind.filter(|kind| !KINDS.contains(kind)) {
            return Err(format!("{key}: {name} is {other:?}: default, linear, dynamic, llama3, yarn and longrope are run"));
        }
    }
    if let [(_, Some(one)), (_, Some(other))] = kinds
        && one != other
    {
        return Err(format!("{key}: rope_type is {one:?} and type {other:?}: take one of them out"));
    }
    if table.value("mrope_section").is_some() {
        return Err(format!("{key} has mrope_section: positions in several dimensions are not run"));
    }
    match table.values().iter().find(|(_, value)| value.is_object()) {
        Some((kind, _)) => Err(format!("{key} has a table {kind:?}: this family has one for all layers")),
        None => Ok(()),
    }
}

pub(crate) struct Scaled {
    pub(crate) rotary: Rotary,
    /// Positions that the frequencies are right for, where fewer than the file says: LongRoPE without its long factors.
    pub(crate) window: Option<usize>,
}

impl Scaled {
    pub(crate) fn position(&self) -> Position {
        Position::Rotary(self.rotary.clone())
    }
}

impl RotaryRule {
    /// As most families have it: whole heads, of which each half is turned with the other.
    pub(crate) fn halves(sizes: Sizes, base: f32) -> Self {
        let Sizes { head_width, window, .. } = sizes;
        Self { head_width, layout: RotaryLayout::Halves, base, turned: Turned::Whole, window, original: window }
    }

    /// With the table of parameters that counts.
    pub(crate) fn read(&self, config: &Config<'_>) -> Result<Scaled, Refusal> {
        self.scaled(config, parameters(config)?.as_ref())
    }

    /// With one table of parameters, or none.
    pub(crate) fn scaled(&self, config: &Config<'_>, parameters: Option<&Config<'_>>) -> Result<Scaled, Refusal> {
        let either = |key: &str| match parameters.map(|parameters| parameters.number(key)).transpose()?.flatten() {
            Some(number) => Ok(Some(number)),
            None => config.number(key),
        };
        let base = either("rope_theta")?.unwrap_or(self.base);
        let turned = match (self.turned, either("partial_rotary_factor")?) {
            (Turned::Whole, None | Some(1.0)) => 1.0,
            (Turned::Whole, Some(other)) => {
                return Err(format!("partial_rotary_factor is {other}: whole heads are turned in this family"));
            }
            (Turned::Part(default), said) => said.unwrap_or(default),
        };
        if !(base > 1.0 && turned > 0.0 && turned <= 1.0) {
            return Err(format!("rope_theta is {base} and partial_rotary_factor {turned}"));
        }
        let dimensions = scaled_down(self.head_width, turned);
        if dimensions == 0 || !dimensions.is_multiple_of(2) {
            return Err(format!("{dimensions} of {} numbers of a head are rotated: an even number is run", self.head_width));
        }
        let plain: Vec<f32> = (0..dimensions).step_by(2).map(|at| 1.0 / base.powf(float(at) / float(dimensions))).collect();
        let kind = match parameters {
            Some(parameters) => parameters.text("rope_type")?.or(parameters.text("type")?).unwrap_or("default"),
            None => "default",
        };
        let (scaling, frequencies, magnitude) = match (kind, parameters) {
            ("default", _) | (_, None) => ("default", plain, 1.0),
            // Frequencies grow past the window only, and past the window nothing is run.
            ("dynamic", Some(parameters)) => factor(parameters).map(|_| ("dynamic", plain, 1.0))?,
            ("linear", Some(parameters)) => ("linear", linear(&plain, parameters)?, 1.0),
            ("llama3", Some(parameters)) => ("llama3", llama3(&plain, parameters, self.original(config, parameters)?)?, 1.0),
            ("yarn", Some(parameters)) => {
                let yarn = Yarn { base, dimensions, original: self.original(config, parameters)? };
                let (frequencies, magnitude) = yarn.scale(&plain, parameters)?;
                ("yarn", frequencies, magnitude)
            }
            ("longrope" | "su", Some(parameters)) => return self.long(&plain, parameters, self.original(config, parameters)?),
            (other, _) => {
                return Err(format!("rope_type is {other:?}: default, linear, dynamic, llama3, yarn and longrope are run"));
            }
        };
        Ok(Scaled { rotary: self.checked(scaling, frequencies, magnitude, None)?, window: None })
    }

    fn checked(
        &self,
        scaling: &'static str,
        frequencies: Vec<f32>,
        magnitude: f32,
        stretched: Option<Stretched>,
    ) -> Result<Rotary, Refusal> {
        let mut all = frequencies.iter().chain(stretched.iter().flat_map(|stretched| &stretched.frequencies));
        if all.any(|frequency| !frequency.is_finite()) || !magnitude.is_finite() {
            return Err("the rotary parameters give frequencies that are no numbers".to_owned());
        }
        Ok(Rotary { frequencies, layout: self.layout, scaling, magnitude, stretched })
    }

    fn original(&self, config: &Config<'_>, parameters: &Config<'_>) -> Result<usize, Refusal> {
        let key = "original_max_position_embeddings";
        let said = match config.optional_size(key, usize::MAX)? {
            Some(said) => Some(said),
            None => parameters.optional_size(key, usize::MAX)?,
        };
        Ok(said.unwrap_or(self.original))
    }

    /// LongRoPE (arXiv 2402.13753): other factors for sequences past the window that the model was first trained on.
    fn long(&self, plain: &[f32], parameters: &Config<'_>, original: usize) -> Result<Scaled, Refusal> {
        let scaled = |key: &str| {
            let Some(factors) = parameters.numbers(key)? else { return Ok(None) };
            if factors.len() != plain.len() || factors.iter().any(|factor| *factor <= 0.0) {
                return Err(format!("{key} has {} numbers: {} above 0 are needed", factors.len(), plain.len()));
            }
            // Not `frequency / factor`: in the reference's order the result is the same to the bit.
            Ok(Some(plain.iter().zip(&factors).map(|(frequency, factor)| 1.0 / (factor * (1.0 / frequency))).collect()))
        };
        let short = scaled("short_factor")?.ok_or("short_factor is missing")?;
        let long = scaled("long_factor")?.filter(|_| original < self.window);
        let window = (long.is_none() && original < self.window).then_some(original);
        let stretched = long.map(|frequencies| Stretched { after: original, frequencies });
        let magnitude = match parameters.positive("attention_factor")? {
            Some(magnitude) => magnitude,
            None => {
                let factor = parameters.positive("factor")?.unwrap_or(float(self.window) / float(original));
                // Longer contexts flatten attention; the paper makes up for it by this much.
                if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / float(original).ln()).sqrt() }
            }
        };
        Ok(Scaled { rotary: self.checked("longrope", short, magnitude, stretched)?, window })
    }
}

fn factor(parameters: &Config<'_>) -> Result<f32, Refusal> {
    parameters.positive("factor")?.ok_or_else(|| "factor is missing from the rotary parameters".to_owned())
}

fn linear(plain: &[f32], parameters: &Config<'_>) -> Result<Vec<f32>, Refusal> {
    let factor = factor(parameters)?;
    Ok(plain.iter().map(|frequency| frequency / factor).collect())
}

/// Llama 3.1: long waves are stretched, short ones are not, those between in part.
fn llama3(plain: &[f32], parameters: &Config<'_>, original: usize) -> Result<Vec<f32>, Refusal> {
    let factor = factor(parameters)?;
    let low = parameters.positive("low_freq_factor")?.ok_or("low_freq_factor is missing")?;
    let high = parameters.positive("high_freq_factor")?.ok_or("high_freq_factor is missing")?;
    if high <= low {
        return Err(format!("high_freq_factor is {high}, low_freq_factor {low}"));
    }
    let original = float(original);
    Ok(plain
        .iter()
        .map(|frequency| {
            let wave = 2.0 * std::f32::consts::PI / frequency;
            if wave > original / low {
                frequency / factor
            } else if wave < original / high {
                *frequency
            } else {
                let smooth = (original / wave - low) / (high - low);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        })
        .collect())
}

/// YaRN (arXiv 2309.00071).
struct Yarn {
    base: f32,
    dimensions: usize,
    original: usize,
}

impl Yarn {
    fn scale(&self, plain: &[f32], parameters: &Config<'_>) -> Result<(Vec<f32>, f32), Refusal> {
        let factor = factor(parameters)?;
        let rotations = |key, default| Ok::<_, Refusal>(parameters.positive(key)?.unwrap_or(default));
        // The paper's for LLaMA: what turns more often than 32 times is kept, less than once is stretched.
        let (fast, slow) = (rotations("beta_fast", 32.0)?, rotations("beta_slow", 1.0)?);
        let (mut low, mut high) = (self.correction(fast), self.correction(slow));
        if parameters.flag("truncate", true)? {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(float(self.dimensions - 1)));
        if low >= high {
            // As the reference: a ramp of no width would divide by zero.
            high = low + 0.001;
        }
        let frequencies = plain.iter().enumerate().map(|(at, frequency)| {
            let kept = 1.0 - ((float(at) - low) / (high - low)).clamp(0.0, 1.0);
            frequency / factor * (1.0 - kept) + frequency * kept
        });
        Ok((frequencies.collect(), yarn_magnitude(factor, parameters)?))
    }

    /// The pair that turns so many times within the first window.
    fn correction(&self, rotations: f32) -> f32 {
        let turns = float(self.original) / (rotations * 2.0 * std::f32::consts::PI);
        float(self.dimensions) * turns.ln() / (2.0 * self.base.ln())
    }
}

fn yarn_magnitude(factor: f32, parameters: &Config<'_>) -> Result<f32, Refusal> {
    if let Some(magnitude) = parameters.positive("attention_factor")? {
        return Ok(magnitude);
    }
    let said = |key| Ok::<_, Refusal>(parameters.number(key)?.filter(|number| *number != 0.0));
    Ok(match (said("mscale")?, said("mscale_all_dim")?) {
        (Some(one), Some(all)) => mscale(factor, one) / mscale(factor, all),
        _ => mscale(factor, 1.0),
    })
}

/// What YaRN multiplies by for a context that is so many times as long.
pub(crate) fn mscale(factor: f32, weight: f32) -> f32 {
    // The constants are the paper's fit over LLaMA models.
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

#[expect(clippy::cast_precision_loss, reason = "widths are below 2^24, and windows are rounded as the reference rounds them")]
pub(crate) fn float(size: usize) -> f32 {
    size as f32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a head's width, rounded down")]
fn scaled_down(width: usize, part: f32) -> usize {
    debug_assert!(width <= WIDTH_MAX, "checked when it was read");
    // What is written as 0.7 is a little less in f32: the tolerance is below a number's share of the widest head.
    (f64::from(float(width)) * f64::from(part) + 1e-4) as usize
}
