// Chance that can be repeated.

/** mulberry32 (Tommy Ettinger): a small generator, good enough to make up products and faults. From 0 up to 1. */
export function random(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
}

export const SEED = Number(process.env.HAAT_INTEROP_SEED ?? 1);

/** In an order of chance. */
export function shuffled(items, chance) {
    const all = [...items];
    for (let i = all.length - 1; i > 0; i -= 1) {
        const j = Math.floor(chance() * (i + 1));
        [all[i], all[j]] = [all[j], all[i]];
    }
    return all;
}
