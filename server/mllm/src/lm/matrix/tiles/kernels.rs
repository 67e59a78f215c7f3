//! The sums of a tile with a strip, in registers.

use super::packed::{self, BLOCK, Strip, Sums, Tile};

/// A kernel for strips as wide as two registers of `width` numbers, and tiles of `tile` weight rows.
macro_rules! kernel {
    (
        $(#[$doc:meta])*
        $name:ident on [$($feature:tt)+], width: $width:literal, tile: $tile:literal,
        $zero:ident $load:ident $broadcast:ident $multiply_add:ident $store:ident
    ) => {
        $(#[$doc])*
        pub(super) mod $name {
            use std::arch::x86_64::*;

            use super::{BLOCK, Strip, Sums, Tile, packed};

            const LANES: usize = 2 * $width;

            /// Whether the processor has it.
            pub(in super::super) fn is_there() -> bool {
                true $(&& is_x86_feature_detected!($feature))+
            }

            /// See [`packed::Add`]. Where there are no more than one register's rows, only that is computed.
            pub(in super::super) fn add(
                sums: &mut Sums<LANES, $tile>,
                tile: &Tile<$tile>,
                strip: &[Strip<LANES>],
                rows: usize,
                fresh: bool,
            ) {
                if !is_there() {
                    return packed::add(sums, tile, strip, rows, fresh);
                }
                // SAFETY: the processor has what the function asks for, as was just checked.
                #[allow(unsafe_code)]
                unsafe {
                    if rows > $width {
                        registers::<2>(sums, tile, strip, fresh);
                    } else {
                        registers::<1>(sums, tile, strip, fresh);
                    }
                }
            }

            /// The products with the first registers of a strip.
            #[allow(unsafe_code)]
            $(#[target_feature(enable = $feature)])+
            fn registers<const COUNT: usize>(
                sums: &mut Sums<LANES, $tile>,
                tile: &Tile<$tile>,
                strip: &[Strip<LANES>],
                fresh: bool,
            ) {
                const { assert!(COUNT <= 2, "a strip has no more") };
                let mut kept = [[$zero(); COUNT]; $tile];
                // SAFETY: every load and store is of a register's numbers within an array of at least as many.
                unsafe {
                    if !fresh {
                        for (kept, sums) in kept.iter_mut().zip(sums.iter()) {
                            *kept = std::array::from_fn(|nth| $load(sums.as_ptr().add(nth * $width)));
                        }
                    }
                    for (at, x) in strip.iter().enumerate().take(BLOCK) {
                        let x: [_; COUNT] = std::array::from_fn(|nth| $load(x.as_ptr().add(nth * $width)));
                        for (kept, w) in kept.iter_mut().zip(tile) {
                            let w = $broadcast(w[at]);
                            for (kept, x) in kept.iter_mut().zip(x) {
                                *kept = $multiply_add(w, x, *kept);
                            }
                        }
                    }
                    for (kept, sums) in kept.iter().zip(sums.iter_mut()) {
                        for (nth, kept) in kept.iter().enumerate() {
                            $store(sums.as_mut_ptr().add(nth * $width), *kept);
                        }
                    }
                }
            }
        }
    };
}

kernel! {
    /// Sums fill 24 of 32 registers.
    avx512 on ["avx512f"], width: 16, tile: 12,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_storeu_ps
}

kernel! {
    /// Sums fill 12 of 16 registers.
    avx2 on ["avx2" "fma"], width: 8, tile: 6,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_storeu_ps
}
