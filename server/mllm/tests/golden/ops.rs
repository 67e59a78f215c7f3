//! The operations and their gradients against PyTorch (`tests/golden/ops`) and against finite differences.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Result, Tensor, Var};
use loupe_mllm::ops::{self, AttentionMask};

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn open() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ops/ops.safetensors");
        Self(candle_core::safetensors::load(file, &Device::Cpu).expect("golden file"))
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not in the golden file"))
    }

    fn var(&self, case: &str, input: &str) -> Var {
        Var::from_tensor(self.get(&format!("{case}.in.{input}"))).expect("a variable")
    }

    /// Holds the output and the gradients of `inputs` against PyTorch's.
    fn check(&self, case: &str, inputs: &[(&str, &Var)], out: &Tensor) {
        assert_close(out, self.get(&format!("{case}.out")), case);
        let loss = (out * self.get(&format!("{case}.grad"))).and_then(|out| out.sum_all()).expect("a scalar");
        let grads = loss.backward().expect("a backward pass");
        for (name, var) in inputs {
            let got = grads.get(var).unwrap_or_else(|| panic!("{case}: no gradient of {name}"));
            assert_close(got, self.get(&format!("{case}.d.{name}")), &format!("{case}, gradient of {name}"));
        }
    }
}

/// Equal within 1e-5 of the largest magnitude.
fn assert_close(got: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let flat = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("f32 values");
    let (got, expected) = (flat(got), flat(expected));
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * largest, "{what}[{at}]: {got}, PyTorch has {expected}");
    }
}

#[test]
fn norm_rope_and_activations_are_those_of_pytorch() -> Result<()> {
    let golden = Golden::open();
    let (x, w) = (golden.var("rms_norm", "x"), golden.var("rms_norm", "w"));
    golden.check("rms_norm", &[("x", &x), ("w", &w)], &ops::rms_norm(&x, &w, 1e-6)?);

    let x = golden.var("rope", "x");
    let (cos, sin) = (golden.get("rope.in.cos"), golden.get("rope.in.sin"));
    golden.check("rope", &[("x", &x)], &ops::rope(&x, cos, sin)?);

    let (gate, up) = (golden.var("swiglu", "gate"), golden.var("swiglu", "up"));
    golden.check("swiglu", &[("gate", &gate), ("up", &up)], &ops::swiglu(&gate, &up)?);

    let x = golden.var("gelu_erf", "input");
    golden.check("gelu_erf", &[("input", &x)], &ops::gelu_erf(&x)?);
    Ok(())
}

#[test]
fn linear_maps_are_those_of_pytorch() -> Result<()> {
    let golden = Golden::open();
    let (x, w) = (golden.var("linear", "input"), golden.var("linear", "weight"));
    golden.check("linear", &[("input", &x), ("weight", &w)], &ops::linear(&x, &w, None)?);

    let case = "linear_bias";
    let (x, w, bias) = (golden.var(case, "input"), golden.var(case, "weight"), golden.var(case, "bias"));
    let y = ops::linear(&x, &w, Some(&bias))?;
    golden.check(case, &[("input", &x), ("weight", &w), ("bias", &bias)], &y);
    Ok(())
}

#[test]
fn attention_is_that_of_pytorch_in_any_layout() -> Result<()> {
    let golden = Golden::open();
    let masks = [
        ("causal", AttentionMask::Causal { offset: 0 }),
        ("cached", AttentionMask::Causal { offset: 3 }),
        ("segments", AttentionMask::Segments(vec![0, 5, 66, 80])),
    ];
    for (case, mask) in masks {
        let (q, k, v) = (golden.var(case, "q"), golden.var(case, "k"), golden.var(case, "v"));
        let inputs = [("q", &q), ("k", &k), ("v", &v)];
        golden.check(case, &inputs, &ops::attention(&q, &k, &v, &mask)?);
        // As the model has them: heads taken apart by a transpose, so rows are not side by side.
        let rows_first = |t: &Tensor| t.transpose(1, 2)?.contiguous()?.transpose(1, 2);
        let out = ops::attention(&rows_first(&q)?, &rows_first(&k)?, &rows_first(&v)?, &mask)?;
        golden.check(case, &inputs, &out);
    }
    Ok(())
}

#[test]
fn the_loss_and_its_gradients_are_those_of_pytorch() -> Result<()> {
    let golden = Golden::open();
    let case = "cross_entropy";
    let (x, w) = (golden.var(case, "x"), golden.var(case, "w"));
    let targets: Vec<u32> =
        golden.get("cross_entropy.in.targets").to_vec1::<f32>()?.into_iter().map(|t| t as u32).collect();
    let weights = golden.get("cross_entropy.in.weights").to_vec1::<f32>()?;
    let found = ops::linear_cross_entropy(&x, &w, &targets, &weights)?;
    golden.check(case, &[("x", &x), ("w", &w)], &found.loss);

    let likeliest = x.matmul(&w.t()?)?.argmax(1)?.to_vec1::<u32>()?;
    let right: Vec<bool> = likeliest.iter().zip(&targets).map(|(a, b)| a == b).collect();
    assert_eq!(found.right, right);
    Ok(())
}

#[test]
fn gradients_are_the_slopes_of_the_outputs() -> Result<()> {
    let golden = Golden::open();
    let (q, k, v) = (golden.var("segments", "q"), golden.var("segments", "k"), golden.var("segments", "v"));
    let mask = AttentionMask::Segments(vec![0, 5, 66, 80]);
    let value = || -> Result<Tensor> { ops::attention(&q, &k, &v, &mask)?.sqr()?.sum_all() };
    let grads = value()?.backward()?;
    for var in [&q, &k, &v] {
        let whole = grads.get(var).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
        let start = var.as_tensor().copy()?;
        for at in [0, 401, 1279] {
            let moved = |by: f32| -> Result<f32> {
                let mut values = start.flatten_all()?.to_vec1::<f32>()?;
                values[at] += by;
                var.set(&Tensor::from_vec(values, start.dims(), &Device::Cpu)?)?;
                value()?.to_scalar()
            };
            let slope = (moved(0.02)? - moved(-0.02)?) / 0.04;
            assert!((slope - whole[at]).abs() < 0.02 * whole[at].abs().max(0.5), "{slope} {}", whole[at]);
        }
        var.set(&start)?;
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
    assert!(ops::rms_norm(&zeros(&[2, 4])?, &zeros(&[5])?, 1e-6).is_err());
    assert!(ops::linear(&zeros(&[2, 4])?, &zeros(&[3, 5])?, None).is_err());
    assert!(ops::linear(&zeros(&[2, 5])?, &zeros(&[3, 5])?, Some(&zeros(&[5])?)).is_err());
    assert!(ops::rope(&zeros(&[1, 1, 3, 4])?, &zeros(&[1, 2, 2])?, &zeros(&[1, 2, 2])?).is_err());
    let (q, k) = (zeros(&[1, 3, 4, 2])?, zeros(&[1, 2, 4, 2])?);
    assert!(ops::attention(&q, &k, &k, &AttentionMask::Causal { offset: 0 }).is_err());
    assert!(ops::attention(&q, &q, &q, &AttentionMask::Causal { offset: 1 }).is_err());
    assert!(ops::linear_cross_entropy(&zeros(&[2, 4])?, &zeros(&[3, 4])?, &[0, 3], &[1.0, 1.0]).is_err());
    Ok(())
}
