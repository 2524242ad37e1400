// schedule_charts.js - the two charts of a schedule: what each request does, and who has each page, step by step.
'use strict';

const INDEX = -1;                   // among the owners of a page: the prefix index
const LABELS = 26, LINE = 11;       // CSS pixels: the numbers left of the rows; the height of a number
const NARROWEST = 4;                // of a column; a chart that is wider scrolls

// A row is what is watched, a column a step.
class StepsChart extends Cells {
    // `say(row, step)` also follows the mouse; with (null, null) it has left.
    constructor(canvas, rows, steps, rowHeight, {pick, say, home}) {
        super(canvas, rows, steps, rowHeight, {left: LABELS}, {pick, say, home});
        canvas.style.minWidth = `${LABELS + 2 * MARGIN + steps * NARROWEST}px`;
        canvas.addEventListener('mousemove', (event) => {
            const cell = this.under(event);
            say(cell?.row ?? null, cell?.column ?? null);
        });
        canvas.addEventListener('mouseleave', () => say(null, null));
    }

    // shown: {step, pickedRow: a row or null}
    draw(shown) {
        const colour = this.begin(shown);
        this.colour = colour;
        this.labels(colour('--quiet'));
        for (let row = 0; row < this.rows; ++row) this.row(row);
        if (shown.pickedRow !== null) this.frame(shown.pickedRow, 0, 1, this.columns, colour('--ink'));
        this.frame(0, shown.step, this.rows, 1, colour('--ink'));
        this.frameCursor(colour('--focus'));
        this.bringIntoSight();
    }

    text(words, x, y, colour, align) {
        Object.assign(this.paint, {fillStyle: colour, textAlign: align, textBaseline: 'middle', font: `${10 * devicePixelRatio}px system-ui, sans-serif`});
        this.paint.fillText(words, x, y);
    }

    // As many as there is room for.
    labels(colour) {
        const every = Math.ceil(LINE / this.rowHeight);
        for (let row = 0; row < this.rows; row += every) this.text(String(row), -4 * devicePixelRatio, (row + 0.5) * this.down, colour, 'right');
    }

    // One rectangle for each run of columns whose cells `same` finds alike: fill(first, end, [left, top, width, height]).
    runs(row, same, fill) {
        const [top, tall] = this.along(row);
        for (let first = 0, end; first < this.columns; first = end) {
            for (end = first + 1; end < this.columns && same(first, end);) ++end;
            const [left, width] = this.across(first, end);
            fill(first, end, [left, top, width, tall]);
        }
    }

    // Words at the left of a rectangle, if it has room for them.
    inside(words, [left, top, width, height], ground) {
        if (height < LINE * devicePixelRatio || width < (4 + 6 * words.length) * devicePixelRatio) return;
        this.text(words, left + 3 * devicePixelRatio, top + height / 2, readableOn(ground), 'left');
    }

    bringIntoSight() {
        const box = this.canvas.parentElement, x = this.left + (this.shown.step + 0.5) * this.side / devicePixelRatio;
        if (box.scrollWidth <= box.clientWidth || this.sight === this.shown.step) return;
        this.sight = this.shown.step; // whoever scrolls away is not pulled back
        if (x < box.scrollLeft + LABELS || x > box.scrollLeft + box.clientWidth - LABELS) box.scrollLeft = x - box.clientWidth / 2;
    }
}

// Black or white, for text on a colour #rrggbb.
function readableOn(ground) {
    const [red, green, blue] = [1, 3, 5].map((i) => parseInt(ground.slice(i, i + 2), 16));
    return 0.3 * red + 0.59 * green + 0.11 * blue > 140 ? '#000000' : '#ffffff';
}

const ownerColour = (request) => `--owner${request % 8}`;

class PagesChart extends StepsChart {
    // owners(page, step): the requests that have it, and INDEX
    constructor(canvas, pages, steps, owners, calls) {
        super(canvas, pages, steps, Math.max(2, Math.min(16, 400 / pages)), calls);
        this.owners = owners;
    }

    // shown.request: the others' pages are pale; or null.
    row(page) {
        const key = (step) => String(this.owners(page, step)), {request} = this.shown;
        this.runs(page, (a, b) => key(a) === key(b), (first, end, box) => {
            const now = this.owners(page, first);
            this.paint.globalAlpha = request === null || now.includes(request) ? 1 : 0.25;
            this.owned(now, box);
        });
        this.paint.globalAlpha = 1;
    }

    // A band for each owner; the index has a thin one below, unless it is the only one. A shared page has a frame.
    owned(owners, [left, top, width, height]) {
        const requests = owners.filter((owner) => owner !== INDEX), indexed = requests.length < owners.length;
        const fill = (name, y, tall) => { this.paint.fillStyle = this.colour(name); this.paint.fillRect(left, y, width, tall); };
        if (requests.length === 0) return fill(indexed ? '--index-only' : '--free', top, height);
        const own = indexed ? Math.max(1, Math.round(height * 0.75)) : height;
        requests.forEach((request, i) => {
            const [from, to] = [i, i + 1].map((n) => top + Math.round(n * own / requests.length));
            fill(ownerColour(request), from, Math.max(1, to - from));
        });
        if (indexed) fill('--index-only', top + own, height - own);
        if (owners.length > 1) {
            this.paint.fillStyle = this.colour('--ink');
            for (const x of [left, left + width - devicePixelRatio]) this.paint.fillRect(x, top, devicePixelRatio, height);
        }
        if (requests.length === 1) this.inside(String(requests[0]), [left, top, width, own], this.colour(ownerColour(requests[0])));
    }
}

class BatchChart extends StepsChart {
    // steps: of the trace. marks(request, step): of the events, "hit", "ended", "cancelled".
    constructor(canvas, requests, steps, marks, calls) {
        super(canvas, requests, steps.length, Math.max(4, Math.min(18, 400 / requests)), calls);
        Object.assign(this, {steps, marks});
    }

    part(request, step) {
        return this.steps[step].parts.find((part) => part.request === request);
    }

    row(request) {
        const state = (step) => this.steps[step].states[request];
        this.runs(request, (a, b) => state(a) === state(b), (first, end, box) => this.stay(request, state(first), first, end, box));
        for (let step = 0; step < this.columns; ++step) {
            this.guesses(request, step);
            this.marks(request, step).forEach((mark) => this.mark(mark, request, step));
        }
    }

    // Some steps in one state; of a prompt, the tokens that were fed in them.
    stay(request, state, first, end, box) {
        if (state === 'none' || state === 'over') return;
        this.paint.fillStyle = this.colour(`--${state}`);
        this.paint.fillRect(...box);
        if (state === 'swapped') this.hollow(box);
        if (state !== 'prefill' && state !== 'again') return;
        let fed = 0;
        for (let step = first; step < end; ++step) fed += this.part(request, step).fed;
        this.inside(String(fed), box, this.colour(`--${state}`));
    }

    // Its pages are kept outside of the pool: a line through the middle.
    hollow([left, top, width, height]) {
        this.paint.fillStyle = this.colour('--ground');
        this.paint.fillRect(left, top + Math.round(height / 3), width, Math.round(height / 3));
    }

    // Below the cell, as far across as guesses were right.
    guesses(request, step) {
        const part = this.part(request, step);
        if (!part?.drafted) return;
        const [left, width] = this.across(step, step + 1), [top, tall] = this.along(request), high = Math.max(2, Math.round(tall / 3));
        const right = Math.round(width * part.accepted / part.drafted);
        this.paint.fillStyle = this.colour('--right-guesses');
        this.paint.fillRect(left, top + tall - high, right, high);
        this.paint.fillStyle = this.colour('--wrong-guesses');
        this.paint.fillRect(left + right, top + tall - high, width - right, high);
    }

    mark(kind, request, step) {
        const [left, width] = this.across(step, step + 1), [top, tall] = this.along(request), {paint} = this;
        paint.fillStyle = paint.strokeStyle = this.colour('--ink');
        paint.lineWidth = 1.5 * devicePixelRatio;
        paint.beginPath();
        if (kind === 'hit') { // the right corner: at the left there may be a number
            const size = Math.min(tall, 9 * devicePixelRatio), right = left + width;
            paint.moveTo(right, top), paint.lineTo(right - size, top), paint.lineTo(right, top + size);
            paint.fill();
        } else if (kind === 'ended') {
            paint.fillRect(left + width - 2 * devicePixelRatio, top, 2 * devicePixelRatio, tall);
        } else { // cancelled: a cross
            const x = left + width / 2, y = top + tall / 2, arm = Math.min(tall, 10 * devicePixelRatio) / 2;
            paint.moveTo(x - arm, y - arm), paint.lineTo(x + arm, y + arm), paint.moveTo(x - arm, y + arm), paint.lineTo(x + arm, y - arm);
            paint.stroke();
        }
    }
}
