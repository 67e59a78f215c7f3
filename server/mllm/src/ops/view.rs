//! f32 values of tensors on the CPU.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, bail};

/// Whether the fused operations take these tensors: f32 on the CPU.
pub(super) fn fused(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.dtype() == DType::F32 && matches!(t.device(), Device::Cpu))
}

/// The values of a contiguous tensor inside a custom operation.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a fused operation was given a tensor with strides {:?}", layout.stride());
    };
    Ok(&all(storage)?[start..end])
}

/// All values of a storage.
pub(super) fn all(storage: &CpuStorage) -> Result<&[f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => bail!("a fused operation was given values that are not f32"),
    }
}

/// The storage of a tensor on the CPU.
pub(super) fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("a fused operation was given a tensor that is not on the CPU"),
    }
}

/// Runs `f` over the values of a tensor; one that is not contiguous is copied first.
pub(super) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    f(values(cpu(&storage)?, layout)?)
}

/// The tensor itself where the values of its last dimension lie side by side, else a copy that is contiguous.
pub(super) fn dense_rows(tensor: &Tensor) -> Result<Tensor> {
    match tensor.stride().last() {
        Some(1) => Ok(tensor.clone()),
        _ => tensor.contiguous(),
    }
}
