"""How much memory a service may need."""

# Under the loads of these tests. A few threads, the libraries and their buffers are below 20 MiB; the rest is
# for what is in flight: at most 8,000 orders (ORDER_PREFETCH) or 4,000 (ORDER_PUBLISH_WINDOW) of 0.2 to 1 KiB
# each in their several forms, 1,000 connections of some 20 KiB to the gateway, and one message over 64 KiB
# that a bridge holds at a time.
LARGEST_RSS_MIB = 64


def memory_line(peaks_kib: dict[str, int]) -> str:
    each = ", ".join(f"{service} {kib / 1024:.1f}" for service, kib in sorted(peaks_kib.items()))
    return f"largest RSS in MiB: {each} (at most {LARGEST_RSS_MIB})"


def memory_problems(peaks_kib: dict[str, int]) -> list[str]:
    return [
        f"the {service} needed {kib / 1024:.1f} MiB, over {LARGEST_RSS_MIB} MiB"
        for service, kib in peaks_kib.items()
        if kib > LARGEST_RSS_MIB * 1024
    ]
