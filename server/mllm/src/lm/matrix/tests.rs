//! Products in every number format, and what all formats are tested with.

use super::*;

/// Numbers around 0.
pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let step = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65_536.0 - 0.5;
    (0..count as u32).map(step).collect()
}

/// The definition of a product.
pub(super) fn expected(w: &[f32], x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let row = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    x.chunks(columns)
        .flat_map(|x| w.chunks(columns).map(move |w| row(x, w) as f32))
        .take(rows * x.len())
        .collect()
}

#[test]
fn few_rows_and_many_give_the_product_in_both_number_formats() {
    let (rows, columns) = (303, 70);
    let narrow: Vec<bf16> = numbers(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
    let wide: Vec<f32> = narrow.iter().map(|w| w.to_f32()).collect();
    let matrices =
        [Matrix::f32(wide.clone(), [rows, columns]).unwrap(), Matrix::bf16(narrow, [rows, columns]).unwrap()];
    let bias = numbers(rows, 5);
    for count in [0, 1, 3, FEW, FEW + 1, FEW_WIDENED, FEW_WIDENED + 1, 90] {
        let x = numbers(count * columns, 2);
        for matrix in &matrices {
            let y = matrix.product(&x, Some(&bias)).unwrap();
            let plain = expected(&wide, &x, rows, columns);
            assert_eq!(y.len(), plain.len());
            for ((y, plain), bias) in y.iter().zip(plain).zip(bias.iter().cycle()) {
                assert!((y - plain - bias).abs() < 1e-4, "{count} rows");
            }
        }
    }
}

#[test]
fn a_row_of_few_does_not_depend_on_the_others() {
    let wide = numbers(40 * 100, 3);
    let narrow = wide.iter().copied().map(bf16::from_f32).collect();
    for matrix in [Matrix::f32(wide, [40, 100]).unwrap(), Matrix::bf16(narrow, [40, 100]).unwrap()] {
        let x = numbers(FEW * 100, 4);
        let together = matrix.product(&x, None).unwrap();
        for (x, together) in x.chunks(100).zip(together.chunks(40)) {
            assert_eq!(matrix.product(x, None).unwrap(), together);
        }
    }
}

#[test]
fn bf16_in_twelve_bits_gives_the_same_bit_for_bit() {
    let (rows, columns) = (303, 384);
    let narrow = numbers(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
    let plain = Matrix::bf16(narrow, [rows, columns]).unwrap();
    let packed = plain.clone().packed();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for count in [1, 2, 3, 5, FEW, FEW + 1, FEW_WIDENED + 1, 40] {
        let x = numbers(count * columns, 2);
        let (y, expected) = (packed.product(&x, None).unwrap(), plain.product(&x, None).unwrap());
        assert_eq!(bits(&y), bits(&expected), "{count} rows");
    }
    let stack = Matrix::stack(vec![packed.clone(), plain.clone()]).unwrap();
    assert_eq!(stack.to_f32(), [plain.to_f32(), plain.to_f32()].concat());
    assert_eq!(packed.clone().in_eight_bits().bytes(), plain.clone().in_eight_bits().bytes());
    let change = vec![0.5; rows * columns];
    assert_eq!(packed.plus(&change).unwrap().to_f32(), plain.plus(&change).unwrap().to_f32());
}

#[test]
fn every_thread_has_its_share_of_rows() {
    for (rows, threads, at_a_time) in
        [(2_048, 2, 128), (2_048, 16, 32), (11_008, 16, 128), (2_560, 8, 80), (1_100, 4, 68), (3, 2, 32)]
    {
        assert_eq!(rows_at_a_time(rows, threads), at_a_time);
    }
}

#[test]
fn long_rows_give_the_product_in_every_number_format() {
    let (rows, columns) = (36, 5_120);
    let wide: Vec<f32> = numbers(rows * columns, 1).into_iter().map(|w| bf16::from_f32(w).to_f32()).collect();
    let narrow = wide.iter().copied().map(bf16::from_f32).collect();
    let plain = Matrix::f32(wide, [rows, columns]).unwrap();
    let packed = Matrix::bf16(narrow, [rows, columns]).unwrap().packed();
    assert_eq!(packed.to_f32(), plain.to_f32());
    for matrix in [packed.clone(), plain.clone().in_eight_bits(), packed.in_four_bits()] {
        // What is kept, with x as it is.
        let kept = matrix.to_f32();
        for count in [1, 2, 5, FEW_ROUNDED + 1] {
            let x = numbers(count * columns, 2);
            let y = matrix.product(&x, None).unwrap();
            for (y, kept) in y.iter().zip(expected(&kept, &x, rows, columns)) {
                assert!((y - kept).abs() < 0.2, "{count} rows: {y}, {kept}");
            }
            if count <= FEW {
                assert_eq!(matrix.product(&x[..columns], None).unwrap(), y[..rows], "alone and together");
            }
        }
        let mut row = vec![0.0; columns];
        matrix.copy_row(35, &mut row);
        assert_eq!(row, kept[35 * columns..]);
        let stack = Matrix::stack(vec![matrix.clone(), matrix.clone()]).unwrap();
        assert_eq!(stack.to_f32(), [kept.clone(), kept].concat());
    }
}

#[test]
fn bf16_in_twelve_bits_is_for_what_no_cache_holds() {
    let bf16s = |rows: usize, columns: usize| {
        let narrow = numbers(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
        Matrix::bf16(narrow, [rows, columns]).unwrap()
    };
    let small = bf16s(64, 128);
    assert_eq!(small.clone().compact().bytes(), small.bytes());
    let large = bf16s(CACHED / 2 / 1_024, 1_024);
    let packed = large.clone().compact();
    assert!(packed.bytes() == large.bytes() || packed.bytes() < large.bytes() * 4 / 5);
    assert_eq!(packed.to_f32(), large.to_f32());
}

#[test]
fn eight_bits_give_the_product_up_to_their_rounding() {
    let (rows, columns) = (300, 512);
    let wide = numbers(rows * columns, 1);
    let matrix = Matrix::f32(wide.clone(), [rows, columns]).unwrap().in_eight_bits();
    assert_eq!(matrix.bytes(), rows * columns * 34 / 32);
    for count in [1, FEW, FEW_ROUNDED, FEW_ROUNDED + 1] {
        let x = numbers(count * columns, 2);
        let y = matrix.product(&x, None).unwrap();
        for (y, plain) in y.iter().zip(expected(&wide, &x, rows, columns)) {
            assert!((y - plain).abs() < 0.05, "{count} rows: {y}, {plain}");
        }
    }
}

#[test]
fn four_bits_give_the_product_up_to_their_rounding() {
    let (rows, columns) = (300, 512);
    let wide = numbers(rows * columns, 1);
    let matrix = Matrix::f32(wide.clone(), [rows, columns]).unwrap().in_four_bits();
    assert_eq!(matrix.bytes(), rows * columns * 144 / 256);
    let x = numbers((FEW_ROUNDED + 1) * columns, 2);
    let plain = expected(&wide, &x, rows, columns);
    for count in [1, FEW, FEW_ROUNDED, FEW_ROUNDED + 1] {
        let y = matrix.product(&x[..count * columns], None).unwrap();
        for (y, plain) in y.iter().zip(&plain) {
            assert!((y - plain).abs() < 0.5, "{count} rows: {y}, {plain}");
        }
    }
    let together = matrix.product(&x[..FEW * columns], None).unwrap();
    for (x, together) in x.chunks(columns).zip(together.chunks(rows)) {
        assert_eq!(matrix.product(x, None).unwrap(), together);
    }
}

#[test]
fn rows_that_few_bits_cannot_hold_take_the_next_more() {
    let odd = Matrix::f32(numbers(2 * 33, 1), [2, 33]).unwrap();
    assert_eq!(odd.clone().in_eight_bits().bytes(), odd.bytes());
    assert_eq!(odd.clone().in_four_bits().bytes(), odd.bytes());
    let short = Matrix::f32(numbers(2 * 96, 1), [2, 96]).unwrap();
    assert_eq!(short.clone().in_four_bits().bytes(), short.in_eight_bits().bytes());
    let four = Matrix::f32(numbers(2 * 256, 1), [2, 256]).unwrap().in_four_bits();
    assert_eq!(four.clone().in_eight_bits().bytes(), four.bytes());
}

#[test]
fn rows_of_one_kind_are_one_matrix_where_four_stay_together() {
    let part = |rows, seed| Matrix::f32(numbers(rows * 256, seed), [rows, 256]).unwrap().in_eight_bits();
    for rows in [7, 8] {
        let parts = [part(rows, 1), part(5, 2)];
        let stack = Matrix::stack(parts.to_vec()).unwrap();
        assert_eq!(matches!(stack.values, Values::Q8(_)), rows == 8);
        assert_eq!(stack.to_f32(), parts.each_ref().map(Matrix::to_f32).concat());
        let x = numbers(256, 3);
        let apart = parts.each_ref().map(|part| part.product(&x, None).unwrap()).concat();
        assert_eq!(stack.product(&x, None).unwrap(), apart);
    }
}

#[test]
fn mixed_stacks_keep_the_numbers_of_their_parts() {
    let part = |rows, seed| Matrix::f32(numbers(rows * 256, seed), [rows, 256]).unwrap();
    let parts =
        [part(2, 1), part(3, 2).in_eight_bits(), part(4, 3).in_eight_bits(), part(5, 4).in_four_bits()];
    let stack = Matrix::stack(parts.to_vec()).unwrap();
    assert_eq!(stack.rows(), 14);
    assert_eq!(stack.bytes(), parts.iter().map(Matrix::bytes).sum::<usize>());
    let values: Vec<f32> = parts.iter().flat_map(Matrix::to_f32).collect();
    assert_eq!(stack.to_f32(), values);
    let mut row = vec![0.0; 256];
    stack.copy_row(6, &mut row);
    assert_eq!(row, values[6 * 256..7 * 256]);
    for count in [0, 1, 3, FEW + 1, FEW_ROUNDED + 1] {
        let x = numbers(count * 256, 3);
        let y = stack.product(&x, None).unwrap();
        assert_eq!(y.len(), count * 14);
        for (x, y) in x.chunks(256).zip(y.chunks(14)) {
            let apart: Vec<f32> = parts.iter().flat_map(|part| part.product(x, None).unwrap()).collect();
            assert!(y.iter().zip(&apart).all(|(y, apart)| (y - apart).abs() < 0.1));
        }
    }
    assert_eq!(stack.in_four_bits().bytes(), (4 + 4 + 4 + 8) * 144, "four rows at a time");
}

#[test]
fn a_change_is_added_to_numbers_that_are_not_rounded_yet() {
    let (w, change) = (numbers(2 * 32, 1), numbers(2 * 32, 2));
    let sum: Vec<f32> = w.iter().zip(&change).map(|(w, change)| w + change).collect();
    let wide = Matrix::f32(w.clone(), [2, 32]).unwrap().plus(&change).unwrap();
    assert_eq!(&*wide.widened(0..2), sum);
    let narrow = w.iter().copied().map(bf16::from_f32).collect();
    let narrow = Matrix::bf16(narrow, [2, 32]).unwrap().plus(&change).unwrap();
    assert_eq!(narrow.bytes(), 2 * 32 * 2, "bf16 stays bf16");
    for (got, sum) in narrow.widened(0..2).iter().zip(&sum) {
        assert!((got - sum).abs() < 0.01, "{got}, {sum}");
    }
    assert!(Matrix::f32(w.clone(), [2, 32]).unwrap().plus(&change[1..]).is_err());
    assert!(Matrix::f32(w, [2, 32]).unwrap().in_eight_bits().plus(&change).is_err());
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    assert!(Matrix::f32(vec![0.0; 5], [2, 3]).is_err());
    let matrix = Matrix::f32(vec![0.0; 6], [2, 3]).unwrap();
    assert!(matrix.product(&[0.0; 4], None).is_err());
    assert!(matrix.product(&[0.0; 3], Some(&[0.0; 3])).is_err());
    assert!(Matrix::stack(vec![matrix.clone(), Matrix::f32(vec![0.0; 4], [2, 2]).unwrap()]).is_err());
    assert_eq!(Matrix::stack(vec![matrix.clone(), matrix]).unwrap().rows(), 4);
}
