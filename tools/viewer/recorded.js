// recorded.js - what each policy held, step by step, replayed from the changes.
'use strict';

const EVICTED = 0;   // the first of the classes
const NOT_FED = 255; // instead of a class: the text has not come so far

class Recorded {
    constructor(policy, trace) {
        Object.assign(this, {name: policy.name, idea: policy.idea, paper: policy.paper, steps: policy.steps});
        this.length = trace.pieces.length - 1; // the last piece is never fed
        this.byPlace = new Map();
    }

    // Of one layer and KV head: step -> class by position, [length]. Kept for the places that were shown.
    classes(place) {
        if (!this.byPlace.has(place)) {
            let now = new Uint8Array(this.length).fill(NOT_FED);
            this.byPlace.set(place, this.steps.map(({changes}) => {
                now = now.slice();
                for (const [where, first, last, into] of changes)
                    if (where === place) now.fill(into, first, last + 1);
                return now;
            }));
        }
        return this.byPlace.get(place);
    }

    held(place, step) {
        return this.classes(place)[step].reduce((sum, into) => sum + (into !== NOT_FED && into !== EVICTED), 0);
    }

    // [class, first step of it] in the order of steps.
    fate(place, position) {
        const found = [];
        this.classes(place).forEach((now, step) => {
            const into = now[position];
            if (into !== NOT_FED && found.at(-1)?.[0] !== into) found.push([into, step]);
        });
        return found;
    }

    // Next tokens of the text that were the likeliest, and the mean bits that the text's own cost, up to a step.
    score(step) {
        const so_far = this.steps.slice(0, step + 1);
        return {right: so_far.filter(({right}) => right).length, asked: so_far.length,
            bits: so_far.reduce((sum, {bits}) => sum + bits, 0) / so_far.length};
    }
}
