"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const steps = Math.max(...data.runs.map((run) => run.steps.length));
const shown = data.runs[0];  // whose sampler the table shows: SBD where there is one
const slider = find("step");
let timer = null;

function element(tag, attributes, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const number = (value, digits = 4) => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toFixed(digits));
const quoted = (text) => `“${text.replaceAll("\n", "↵")}”`;
const spaced = (text) => text.replaceAll("\n", "↵").replaceAll(" ", "␣");

/* Position -> how it was revealed, for one run. */
function reveals(run) {
  const found = new Map();
  run.steps.forEach((step, index) => {
    for (const one of step.ranked) if (one.revealed) found.set(one.place, { ...one, step: index + 1 });
  });
  return found;
}
const revealed = new Map(data.runs.map((run) => [run, reveals(run)]));
const textOf = (run, one) => (one.place < run.tokens.length ? run.tokens[one.place] : one.text);

function drawRun(run, box, at) {
  const cells = [];
  for (const [place, one] of [...revealed.get(run)].sort((a, b) => a[0] - b[0])) {
    if (one.step > at) continue;
    const text = textOf(run, one);
    const past = place >= run.tokens.length;
    const name = "token" + (one.step === at ? " new" : "") + (past ? " past" : "");
    const title = `position ${place + 1}, forward ${one.step}, entropy ${number(one.entropy)} nats, ` +
      `confidence ${number(one.confidence)}` + (past ? ", after the end" : "");
    const line = text.endsWith("\n");  // the line ends behind the token's number
    const inside = (line ? text.slice(0, -1) : text).replaceAll("\n", "↵\n") + (line ? "↵" : "");
    cells.push([place, element("span", { class: name, "data-step": one.step, style: `--n: ${one.step}`, title },
      inside || "\u200b"), line ? "\n" : ""]);
  }
  if (at < run.steps.length) {
    for (const one of run.steps[at].ranked) cells.push([one.place, element("span", { class: "mask", title: "masked" }, "·")]);
  }
  cells.sort((a, b) => a[0] - b[0]);
  box.text.replaceChildren(...cells.flatMap((cell) => cell.slice(1)));
  const known = at === 0 ? 0 : run.steps[Math.min(at, run.steps.length) - 1].known;
  const done = at >= run.steps.length;
  const forwards = Math.min(at, run.steps.length);
  const open = [...revealed.get(run).values()].filter((one) => one.step <= at && one.place >= known).length;
  box.count.textContent = `${plural(known, "token")}` + (open && !done ? ` and ${open} behind a gap` : "") +
    ` after ${plural(forwards, "forward")}` +
    (done ? `: done (${run.stop_reason}), ${run.tokens_per_forward.toFixed(2)} tokens per forward` : "");
}

function buildRuns() {
  for (const run of data.runs) {
    const id = `run-${run.decoding}`;
    const count = element("p", { class: "count" });
    const text = element("div", { class: "text", role: "group", "aria-labelledby": id });
    const how = run.sampler ? `${run.sampler}, ${run.parameter}, block ${run.block_size}` : "one token a forward";
    find("runs").append(element("section", { id: `${id}-section`, "aria-labelledby": id },
      element("h2", { id }, `${run.name} (${how})`), count, text));
    run.box = { count, text };
  }
}

function head(table, names) {
  table.tHead.replaceChildren(element("tr", {}, ...names.map(([name, word]) =>
    element("th", { scope: "col", class: word ? "word" : "" }, name))));
}

function drawRanked(at) {
  const table = find("ranked");
  const step = at > 0 && at <= shown.steps.length ? shown.steps[at - 1] : null;
  const names = [["rank"], ["position"], ["would be", true], ["entropy, nats"], ["confidence"]];
  if (shown.bound) names.push([shown.bound[0]]);
  head(table, [...names, ["revealed"]]);
  const rows = step ? step.ranked : [];
  const most = Math.max(...rows.map((one) => one.entropy), 1e-9);
  const kept = rows.filter((one) => one.revealed).length;
  table.tBodies[0].replaceChildren(...rows.map((one, rank) => {
    const cells = [element("td", {}, String(rank + 1)), element("td", {}, String(one.place + 1)),
      element("td", { class: "word" }, spaced(one.text)),
      element("td", { class: "bar", style: `--share: ${one.entropy / most}` }, number(one.entropy)),
      element("td", {}, number(one.confidence))];
    if (shown.bound) cells.push(element("td", {}, number(one.bound)));
    cells.push(element("td", {}, one.revealed ? "yes" : "no"));
    return element("tr", { class: rank + 1 === kept && kept < rows.length ? "cut" : one.revealed ? "" : "later" }, ...cells);
  }));
  find("rule").textContent = !step
    ? (at === 0 ? "Before the first forward nothing was read." : `${shown.name} was done before this forward.`)
    : !shown.bound ? "AR reveals its one position at every forward."
    : `${shown.name} reveals from the top while the ${shown.bound[0]} is ${shown.bound[1]} ${shown.parameter}, at least one: ` +
      `${kept} of ${rows.length} here` + (kept < rows.length ? "; the line shows the cut." : ".");
}

function buildTokens() {
  const [first, second] = data.runs;
  const names = [["position"], [`${first.name} token`, true], ["forward"], ["entropy"], ["confidence"]];
  if (second) names.push([`${second.name} token`, true], ["entropy"], ["confidence"]);
  head(find("tokens"), names);
  const longest = Math.max(...data.runs.map((run) => run.tokens.length));
  for (let place = 0; place < longest; place++) {
    const row = element("tr", { "data-step": "0" }, element("td", {}, String(place + 1)));
    data.runs.forEach((run, index) => {
      const one = place < run.tokens.length ? revealed.get(run).get(place) : null;
      row.append(element("td", { class: "word" }, one ? spaced(run.tokens[place]) : ""));
      if (index === 0) {
        row.append(element("td", {}, one ? String(one.step) : ""));
        if (one) row.dataset.step = one.step;
      }
      row.append(element("td", {}, one ? number(one.entropy) : ""), element("td", {}, one ? number(one.confidence) : ""));
    });
    find("tokens").tBodies[0].append(row);
  }
}

function say(at) {
  if (at === 0) return "Before the first forward: the prompt has been read, everything is masked.";
  return data.runs.map((run) => {
    if (at > run.steps.length) return `${run.name}: done after ${plural(run.steps.length, "forward")}.`;
    const step = run.steps[at - 1];
    const now = step.ranked.filter((one) => one.revealed).sort((a, b) => a.place - b.place);
    const words = now.map((one) => quoted(textOf(run, one))).join(", ");
    const left = step.ranked.length - now.length;
    const how = run.sampler ? `${step.kind} forward, ${step.width} wide` : "one token a forward";
    return `${run.name}, ${how}: revealed ${plural(now.length, "token")}: ${words}; ` +
      `${plural(left, "mask")} left.`;
  }).join(" ");
}

function show(at) {
  slider.value = at;
  slider.setAttribute("aria-valuetext", `forward ${at} of ${steps}`);
  find("where").textContent = `${at} of ${steps}`;
  for (const run of data.runs) drawRun(run, run.box, at);
  drawRanked(at);
  for (const row of find("tokens").tBodies[0].rows) row.className = Number(row.dataset.step) > at ? "later" : "";
  find("said").textContent = say(at);
  for (const id of ["first", "back"]) find(id).disabled = at === 0;
  for (const id of ["next", "last"]) find(id).disabled = at === steps;
}

function stop() {
  clearInterval(timer);
  timer = null;
  find("play").textContent = "Play";
  find("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (timer !== null) return stop();
  if (Number(slider.value) === steps) show(0);
  find("play").textContent = "Pause";
  find("play").setAttribute("aria-pressed", "true");
  timer = setInterval(() => {
    show(Math.min(Number(slider.value) + 1, steps));
    if (Number(slider.value) === steps) stop();
  }, 700);
}

function summarise() {
  const [first, second] = data.runs;
  let text = `${data.model}, ${data.dtype} on ${data.device}. ` + data.runs.map((run) =>
    `${run.name}: ${plural(run.tokens.length, "token")} in ${plural(run.nfe, "forward")}`).join("; ") + ".";
  if (second) text += ` Both gave ${first.tokens.join("") === second.tokens.join("") ? "the same" : "different"} tokens.`;
  find("summary").textContent = text;
  if (data.same_as_record !== null) {
    find("summary").append(" ", element("span", { class: data.same_as_record ? "" : "note" }, data.same_as_record
      ? "The tokens are those of the record." : "The tokens are not those of the record."));
  }
  find("prompt").textContent = data.prompt;
}

summarise();
buildRuns();
buildTokens();
slider.max = steps;
slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
find("first").addEventListener("click", () => { stop(); show(0); });
find("back").addEventListener("click", () => { stop(); show(Math.max(0, Number(slider.value) - 1)); });
find("next").addEventListener("click", () => { stop(); show(Math.min(steps, Number(slider.value) + 1)); });
find("last").addEventListener("click", () => { stop(); show(steps); });
find("play").addEventListener("click", play);
show(Math.min(steps, Math.max(0, parseInt(location.hash.slice(1), 10) || 0)));  // page.html#3 opens at forward 3
