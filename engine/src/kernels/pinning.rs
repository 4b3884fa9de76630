//! Three requests to the Linux kernel: processors for a thread, tile registers for the process, large pages for memory.
//! No-ops elsewhere.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod linux {
    const SCHED_SETAFFINITY: usize = 203;
    const SCHED_GETAFFINITY: usize = 204;
    const ARCH_PRCTL: usize = 158;
    const MADVISE: usize = 28;
    const MADV_HUGEPAGE: usize = 14;
    const PAGE_BYTES: usize = 4096;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    /// Of up to 4,096 processors.
    type Mask = [u64; 64];

    /// # Safety
    /// The arguments are what the numbered call wants: its pointers are valid for what it reads and writes.
    unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
        let result: isize;
        // SAFETY: the x86-64 convention of system calls; rcx and r11 are what the instruction itself overwrites.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") arguments[0],
                in("rsi") arguments[1],
                in("rdx") arguments[2],
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    /// The processors that the calling thread may run on, in order.
    fn allowed() -> Vec<usize> {
        let mut mask: Mask = [0; 64];
        // SAFETY: the mask is as long as it says and is written by the kernel.
        let bytes = unsafe { call(SCHED_GETAFFINITY, [0, size_of::<Mask>(), (&raw mut mask).addr()]) };
        if bytes <= 0 {
            return Vec::new();
        }
        (0..mask.len() * 64).filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1).collect()
    }

    pub(crate) fn pin_to_cpu(worker: usize, workers: usize) {
        let allowed = allowed();
        let Some(cpu) = allowed.get(worker).filter(|_| allowed.len() == workers) else {
            return;
        };
        let mut mask: Mask = [0; 64];
        mask[cpu / 64] = 1 << (cpu % 64);
        // SAFETY: the mask is as long as it says and is read by the kernel. A refusal leaves the thread where it was.
        let _ = unsafe { call(SCHED_SETAFFINITY, [0, size_of::<Mask>(), (&raw const mask).addr()]) };
    }

    pub(in super::super) fn request_large_pages(start: usize, bytes: usize) {
        let first = start.next_multiple_of(PAGE_BYTES);
        let bytes = (start + bytes).saturating_sub(first) / PAGE_BYTES * PAGE_BYTES;
        // SAFETY: the advice changes how memory is mapped, not what is in it. A refusal leaves small pages.
        let _ = unsafe { call(MADVISE, [first, bytes, MADV_HUGEPAGE]) };
    }

    pub(in super::super) fn request_tiles() -> bool {
        // SAFETY: takes two numbers and touches no memory.
        unsafe { call(ARCH_PRCTL, [ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA, 0]) == 0 }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use linux::request_tiles;

/// Keeps the calling thread on the `worker`-th processor it is allowed, where there are as many workers as processors:
/// fewer would crowd the first ones when several processes do the same.
pub(crate) fn pin_to_cpu(worker: usize, workers: usize) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    linux::pin_to_cpu(worker, workers);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (worker, workers);
}

/// Asks that memory be mapped in large pages as it is first written: reading weights from one end to the other then
/// misses few translations.
pub(super) fn request_large_pages(start: usize, bytes: usize) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    linux::request_large_pages(start, bytes);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (start, bytes);
}

/// Asks for the AMX registers, for this process and the threads it starts.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
pub(super) fn request_tiles() -> bool {
    false
}
