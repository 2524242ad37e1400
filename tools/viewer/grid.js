// grid.js - one policy's grid: row = step, column = position, coloured by the class of the token.
'use strict';

const MARGIN = 3, MARKS = 9; // CSS pixels: round the cells; above them, for the needle and the question

class Grid {
    // `pick(step, position)` is called for a chosen cell, `say(step, position)` for a visited one.
    constructor(canvas, rows, columns, pick, say) {
        Object.assign(this, {canvas, rows, columns, pick, say, cursor: null});
        this.rowHeight = Math.max(1, Math.min(9, 190 / rows));
        canvas.style.height = `${2 * MARGIN + MARKS + rows * this.rowHeight}px`;
        canvas.addEventListener('click', (event) => this.click(event));
        canvas.addEventListener('keydown', (event) => this.key(event));
        canvas.addEventListener('focus', () => this.move(0, 0));
        canvas.addEventListener('blur', () => { this.cursor = null; this.draw(this.shown); });
    }

    click(event) {
        const step = Math.floor((event.offsetY - MARGIN - MARKS) / this.rowHeight);
        const position = Math.floor((event.offsetX - MARGIN) * this.columns / (this.canvas.clientWidth - 2 * MARGIN));
        if (step < 0 || position < 0 || step >= this.rows || position >= this.columns) return;
        this.cursor = {step, position};
        this.pick(step, position);
    }

    key(event) {
        const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
        if (event.key in moves) this.move(...moves[event.key]);
        else if (event.key === 'Enter' && this.cursor) this.pick(this.cursor.step, this.cursor.position);
        else return; // home, end and space belong to the page
        event.preventDefault();
        event.stopPropagation();
    }

    // Starts at what is chosen, and stays within the grid.
    move(down, right) {
        const from = this.cursor ?? {step: this.shown.step, position: this.shown.picked ?? 0};
        const within = (x, end) => Math.min(Math.max(x, 0), end - 1);
        this.cursor = {step: within(from.step + down, this.rows), position: within(from.position + right, this.columns)};
        this.say(this.cursor.step, this.cursor.position);
        this.draw(this.shown);
    }

    // shown: {classes: step -> class by position, colours: class -> colour, step, picked: position or null,
    // marks: [{positions, colour}]}
    draw(shown) {
        this.shown = shown;
        const {canvas} = this, scale = devicePixelRatio;
        const width = Math.max(1, Math.round(canvas.clientWidth * scale)), height = Math.max(1, Math.round(canvas.clientHeight * scale));
        if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
        const paint = canvas.getContext('2d'), style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim();
        paint.setTransform(1, 0, 0, 1, 0, 0);
        paint.clearRect(0, 0, width, height);
        paint.translate(MARGIN * scale, (MARGIN + MARKS) * scale);
        Object.assign(this, {paint, side: (width - 2 * MARGIN * scale) / this.columns, down: this.rowHeight * scale});
        shown.classes.forEach((now, step) => {
            paint.globalAlpha = step > shown.step ? 0.3 : 1; // what is still to come
            this.row(step, now, shown.colours);
        });
        paint.globalAlpha = 1;
        for (const {positions, colour: mark} of shown.marks) this.mark(positions, colour(mark));
        if (shown.picked !== null) this.frame(0, shown.picked, this.rows, 1, colour('--ink'));
        this.frame(shown.step, 0, 1, this.columns, colour('--ink'));
        if (this.cursor) this.frame(this.cursor.step, this.cursor.position, 1, 1, colour('--focus'));
    }

    // One rectangle for each run of a class. Whole pixels, or the seams would shine through.
    row(step, now, colours) {
        const top = Math.round(step * this.down), tall = Math.max(1, Math.round((step + 1) * this.down) - top - (this.down >= 4 ? 1 : 0));
        for (let first = 0, end; first < now.length; first = end) {
            for (end = first + 1; end < now.length && now[end] === now[first];) ++end;
            if (now[first] === NOT_FED) continue;
            const left = Math.round(first * this.side);
            this.paint.fillStyle = colours[now[first]];
            this.paint.fillRect(left, top, Math.max(1, Math.round(end * this.side) - left), tall);
        }
    }

    // A bar above the columns, and lines down both of its sides.
    mark(positions, colour) {
        const left = positions[0] * this.side, right = (positions.at(-1) + 1) * this.side, {paint} = this;
        paint.fillStyle = paint.strokeStyle = colour;
        paint.lineWidth = devicePixelRatio;
        paint.fillRect(left, -(MARKS - 2) * devicePixelRatio, Math.max(2, right - left), (MARKS - 4) * devicePixelRatio);
        for (const x of [left, right]) {
            paint.beginPath();
            paint.moveTo(x, -MARKS / 2 * devicePixelRatio);
            paint.lineTo(x, this.rows * this.down);
            paint.stroke();
        }
    }

    // Round the cells, not on them: they can be as small as the line is wide.
    frame(step, position, rows, columns, colour) {
        const line = 1.5 * devicePixelRatio;
        this.paint.strokeStyle = colour;
        this.paint.lineWidth = line;
        this.paint.strokeRect(position * this.side - line / 2, step * this.down - line / 2, columns * this.side + line, rows * this.down + line);
    }
}
