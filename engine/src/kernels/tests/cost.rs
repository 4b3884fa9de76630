//! What the products of one layer of MiniLM cost, on every path and in every precision.

use super::*;
use crate::bench::timed;

/// Columns and inner dimension of a layer's matrices.
const SHAPES: [(usize, usize); 4] = [(1152, 384), (384, 384), (1536, 384), (384, 1536)];
/// What the encoder's feed-forward part takes at a time.
const ROWS: usize = 96;
const ROUNDS: usize = 11;
/// Of a round: the system counts processor time in milliseconds.
const REPEATS: usize = 10;

type Work = Box<dyn FnMut()>;

fn plain<W: Weight<Input: Element>>(cpu: Cpu) -> Work {
    let mut matrices = SHAPES.map(|(columns, inner)| {
        let matrix = Matrix::<W>::pack(&numbers(columns * inner, 1), &numbers(columns, 2), cpu.panel_columns());
        (matrix, Buffer::<W::Input>::new(ROWS * inner), vec![0.0_f32; ROWS * columns])
    });
    Box::new(move || {
        for (matrix, input, out) in &mut matrices {
            let stride = matrix.columns();
            cpu.multiply(Product { input, rows: ROWS, weights: matrix.all(), sink: Overwrite { out, stride } });
        }
    })
}

fn bytes(cpu: Cpu) -> Work {
    let mut matrices = SHAPES.map(|(columns, inner)| {
        let matrix = ByteMatrix::pack(&numbers(columns * inner, 1), &numbers(columns, 2), cpu.panel_columns());
        (matrix, ByteInput::new(ROWS, inner), numbers(ROWS * inner, 3), vec![0.0_f32; ROWS * columns], columns)
    });
    Box::new(move || {
        for (matrix, input, rows, out, stride) in &mut matrices {
            input.quantise(cpu, 0, rows);
            input.multiply(cpu, 0..ROWS, matrix, Overwrite { out, stride: *stride });
        }
    })
}

/// `cargo test --release -p engine --lib -- --ignored --nocapture what_products_cost`: printed, not judged. Processor time, the
/// least of the rounds, in which all take turns.
#[test]
#[ignore = "a measurement"]
fn what_products_cost() {
    let mut works: Vec<(String, f64, Work)> = Vec::new();
    for cpu in paths() {
        let of_path: [(&str, Work); 4] = [
            ("f32", plain::<f32>(cpu)),
            ("bf16 by bf16", plain::<Bf16>(cpu)),
            ("bf16 by f32", plain::<Widened>(cpu)),
            ("int8", bytes(cpu)),
        ];
        works.extend(of_path.map(|(name, work)| (format!("{} {name}", cpu.isa()), f64::INFINITY, work)));
    }
    for _ in 0..ROUNDS {
        for (_, least_s, work) in &mut works {
            let timing = timed(|| (0..REPEATS).for_each(|_| work()));
            *least_s = least_s.min(timing.cpu_s / REPEATS as f64);
        }
    }
    let products: f64 = SHAPES.iter().map(|(columns, inner)| (ROWS * columns * inner) as f64).sum();
    for (name, least_s, _) in &works {
        println!("{name}: {:.1} billion products a second", products / least_s / 1e9);
    }
}
