// trace.js - the recorded runs: rows of floats by position, and what the page derives from them.
'use strict';

// Base64 of little-endian floats, as the browsers' machines are; both views share the bytes.
function decodeRows(packed, width) {
    const bytes = Uint8Array.from(atob(packed.bits), (letter) => letter.charCodeAt(0));
    const versions = []; // position -> [{step, floats, bits}], rising steps
    packed.at.forEach(([step, position], i) => {
        (versions[position] ??= []).push({
            step,
            floats: new Float32Array(bytes.buffer, 4 * width * i, width),
            bits: new Uint32Array(bytes.buffer, 4 * width * i, width),
        });
    });
    return versions;
}

class Run {
    constructor(packed, config) {
        this.name = packed.name;
        this.cache = packed.cache;
        this.steps = packed.steps; // step -> {rows, work, token, piece, logits_sum, cache_bytes}
        this.headDim = config.head_dim;
        this.versions = {};
        for (const [op, layers] of Object.entries(packed.rows)) {
            const heads = op === 'query' ? config.heads : config.kv_heads;
            this.versions[op] = layers.map((rows) => decodeRows(rows, heads * this.headDim));
        }
        this.sums = runningSums(this.steps);
    }

    // One head's part of a row, [head_dim], as this run held it when the step ended. `since` is the
    // step in which these bits came up. An uncached run computes them again, in vain, ever after.
    slice(op, layer, head, position, step) {
        const version = this.versions[op][layer][position].findLast((v) => v.step <= step);
        const begin = head * this.headDim, end = begin + this.headDim;
        return {since: version.step, floats: version.floats.subarray(begin, end), bits: version.bits.subarray(begin, end)};
    }

    // The largest absolute value of one head in the whole run, so that colours do not change with the step.
    largest(op, layer, head) {
        let most = 0;
        for (const versions of this.versions[op][layer])
            for (const {floats} of versions ?? [])
                for (const x of floats.subarray(head * this.headDim, (head + 1) * this.headDim))
                    most = Math.max(most, Math.abs(x));
        return most;
    }
}

// work of all steps up to each one
function runningSums(steps) {
    const sums = [];
    for (const {work} of steps) {
        const before = sums.at(-1) ?? {};
        sums.push(Object.fromEntries(Object.entries(work).map(([name, n]) => [name, n + (before[name] ?? 0)])));
    }
    return sums;
}

// Scores and weights of one query against the keys 0..query, in doubles. For display: see the page's footer.
function attention(run, view, query) {
    const q = run.slice('query', view.layer, view.head, query, view.step).floats;
    const scores = [];
    for (let key = 0; key <= query; ++key) {
        const k = run.slice('key', view.layer, view.kvHead, key, view.step).floats;
        scores.push(q.reduce((sum, x, i) => sum + x * k[i], 0));
    }
    const max = scores.reduce((a, b) => Math.max(a, b));
    const powers = scores.map((score) => 2 ** (score - max));
    const sum = powers.reduce((a, b) => a + b);
    return {scores, weights: powers.map((power) => power / sum)};
}

// FNV-1a over whole 32-bit patterns, 64 bit: chapter 1's checksum.
function checksum(bits) {
    let sum = 0xcbf29ce484222325n;
    for (const word of bits) sum = BigInt.asUintN(64, (sum ^ BigInt(word)) * 1099511628211n);
    return sum.toString(16).padStart(16, '0');
}

function differing(a, b) {
    return a.reduce((count, word, i) => count + (word !== b[i] ? 1 : 0), 0);
}

function hex(word) {
    return word.toString(16).padStart(8, '0');
}

// The shortest decimal that reads back as this float.
function decimal(x) {
    for (let digits = 1; digits < 9; ++digits)
        if (Math.fround(Number(x.toPrecision(digits))) === x) return String(Number(x.toPrecision(digits)));
    return String(Number(x.toPrecision(9)));
}
