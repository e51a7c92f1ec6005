/* The script: what each device does over time, and which calls fail. See README.md. */
#define _GNU_SOURCE
#include "stub.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct { int device, q; double value, from, to; } setting;
typedef struct { int device; char function[64]; char action[8]; double amount, from, to;
                 long first, last, seen; } fault;
typedef struct { int device; double from, to; int count; } window;
typedef struct { int device; unsigned pid; uint64_t bytes; double from, to; char file[256]; } process;
typedef struct { int device; uint64_t code; double at; } xid;
typedef struct { int rows; double *at; double *value[QUANTITIES]; double *sum[QUANTITIES]; } trace;

static const char *names[QUANTITIES] = {
    "util", "mem_util", "power", "energy", "sm_clock", "mem_clock", "temp", "mem_temp",
    "mem_used", "reasons", "ecc_corrected", "ecc_uncorrected", "pcie_tx", "pcie_rx",
    "nvlink_tx", "nvlink_rx", "graphics", "sm", "occupancy", "integer", "tensor", "dfma",
    "hmma", "dmma", "imma", "dram", "fp64", "fp32", "fp16" };
static const double idle[QUANTITIES] = {
    0, 0, 70000, -1, 345, 1593, 34, 36, 600e6, 1, 0, 0, 0, 0, 0, 0 };

int device_count;
model models[MAX_DEVICES];
handle devices[MAX_DEVICES], parts[MAX_DEVICES][MAX_PARTS];
char driver_version[80];

static setting settings[8192]; static int n_settings;
static fault faults[512];      static int n_faults;
static window migs[64], shows[64], resets[64]; static int n_migs, n_shows, n_resets;
static process processes[64];  static int n_processes;
static xid xids[64];           static int n_xids;
static trace traces[MAX_DEVICES];
static double epoch = -1;
static int init_code;

static double monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
/* With `epoch @FILE` the script's time is far below 0 until a test writes the file. */
static char epoch_file[256];
double seconds_now(void) {
    FILE *file;
    double stamp;
    if (epoch_file[0] && (file = fopen(epoch_file, "r"))) {
        if (fscanf(file, "%lf", &stamp) == 1) { epoch = stamp / 1e9; epoch_file[0] = 0; }
        fclose(file);
    }
    return monotonic() - epoch - (epoch_file[0] ? 1000 : 0);
}

static const model known[] = {
    {"NVIDIA A100-SXM4-80GB", "", 0x20B210DE, 0x146310DE, 8, 0, 6912, 0, 1, 1410, 1593,
     85899345920ull, 400000, -1},
    {"NVIDIA H100 80GB HBM3", "", 0x233010DE, 0x16C110DE, 9, 0, 16896, 1, 1, 1980, 2619,
     85520809984ull, 700000, -1},
    {"NVIDIA B200", "", 0x290110DE, 0x199910DE, 10, 0, 18944, 1, 1, 1965, 3996,
     192265846784ull, 1000000, -1},
    {"Tesla P100-SXM2-16GB", "", 0x15F910DE, 0x116B10DE, 6, 0, 3584, 0, 0, 1480, 715,
     17066885120ull, 300000, -1},
};

static void add_device(char *rest) {
    int n = device_count++;
    char key[64], value[128];
    int used;
    models[n] = known[1];
    while (sscanf(rest, " %63[^=]=\"%127[^\"]\"%n", key, value, &used) == 2
           || sscanf(rest, " %63[^=]=%127s%n", key, value, &used) == 2) {
        rest += used;
        if (!strcmp(key, "model")) {
            int which = !strcmp(value, "a100") ? 0 : !strcmp(value, "b200") ? 2
                      : !strcmp(value, "p100") ? 3 : 1;
            models[n] = known[which];
        } else if (!strcmp(key, "name")) snprintf(models[n].name, 96, "%.95s", value);
        else if (!strcmp(key, "uuid")) snprintf(models[n].uuid, 96, "%.95s", value);
        else if (!strcmp(key, "memory")) models[n].memory = strtoull(value, NULL, 0);
        else if (!strcmp(key, "power_limit")) models[n].power_limit = (unsigned)atoi(value);
        else if (!strcmp(key, "file")) models[n].file = atoi(value);
        else if (!strcmp(key, "gpm")) models[n].gpm = atoi(value);
        else if (!strcmp(key, "energy")) models[n].energy = atoi(value);
        else { fprintf(stderr, "stub: unknown device key %s\n", key); abort(); }
    }
    if (!models[n].uuid[0])
        snprintf(models[n].uuid, 96, "GPU-00000000-0000-0000-0000-%012d", n + 1);
    devices[n] = (handle){n, -1};
    for (int p = 0; p < MAX_PARTS; p++) parts[n][p] = (handle){n, p};
}

static int quantity_of(const char *name) {
    for (int q = 0; q < QUANTITIES; q++) if (!strcmp(names[q], name)) return q;
    fprintf(stderr, "stub: unknown quantity %s\n", name);
    abort();
}

static void add_fault(int device, const char *rest) {
    fault f = {device, "", "", 0, -FOREVER, FOREVER, 0, -1, 0};
    char word[128], *equals;
    int used;
    sscanf(rest, " %63s%n", f.function, &used);
    for (rest += used; sscanf(rest, " %127s%n", word, &used) == 1; rest += used) {
        double number = (equals = strchr(word, '=')) ? atof(equals + 1) : 0;
        if (!strncmp(word, "from=", 5)) f.from = number;
        else if (!strncmp(word, "to=", 3)) f.to = number;
        else if (!strncmp(word, "call=", 5)) f.first = f.last = (long)number;
        else { if (equals) *equals = 0; snprintf(f.action, 8, "%.7s", word); f.amount = number; }
    }
    faults[n_faults++] = f;
}

/* A recorded trace: a CSV whose header names `seconds` and quantities. */
static void add_trace(int device, const char *path) {
    FILE *file = fopen(path, "r");
    char line[4096], *save, *cell;
    int columns[64], width = 0;
    trace *t = &traces[device];
    if (!file || !fgets(line, sizeof line, file)) { fprintf(stderr, "stub: no %s\n", path); abort(); }
    for (cell = strtok_r(line, ",\n", &save); cell; cell = strtok_r(NULL, ",\n", &save))
        columns[width++] = strcmp(cell, "seconds") ? quantity_of(cell) : -1;
    t->at = calloc(1 << 17, sizeof(double));
    for (int c = 0; c < width; c++) if (columns[c] >= 0) {
        t->value[columns[c]] = calloc(1 << 17, sizeof(double));
        t->sum[columns[c]] = calloc(1 << 17, sizeof(double));
    }
    while (t->rows < 1 << 17 && fgets(line, sizeof line, file)) {
        int c = 0, row = t->rows++;
        for (cell = strtok_r(line, ",\n", &save); cell && c < width;
             cell = strtok_r(NULL, ",\n", &save), c++)
            *(columns[c] < 0 ? &t->at[row] : &t->value[columns[c]][row]) = atof(cell);
        for (int q = 0; q < QUANTITIES; q++) if (t->sum[q] && row)
            t->sum[q][row] = t->sum[q][row - 1]
                           + t->value[q][row - 1] * (t->at[row] - t->at[row - 1]);
    }
    fclose(file);
}

int load_script(void) {
    const char *path = getenv("FLOPLEDGER_NVML_SCRIPT");
    FILE *file;
    char line[1024], word[64], target[64], rest[1024];
    if (epoch >= 0) return init_code;
    snprintf(driver_version, sizeof driver_version, "580.65.06");
    epoch = monotonic();
    if (!path || !(file = fopen(path, "r"))) { add_device(""); return OK; }
    while (fgets(line, sizeof line, file)) {
        int used = 0;
        double from = -FOREVER, to = FOREVER, value = 0;
        if (sscanf(line, " %63s%n", word, &used) != 1 || word[0] == '#') continue;
        snprintf(rest, sizeof rest, "%s", line + used);
        if (!strcmp(word, "device")) { add_device(rest); continue; }
        if (!strcmp(word, "driver")) { sscanf(rest, " %79s", driver_version); continue; }
        if (!strcmp(word, "init")) { init_code = atoi(rest); continue; }
        if (!strcmp(word, "epoch")) {
            if (sscanf(rest, " @%255s", epoch_file) != 1) epoch = atof(rest) / 1e9;
            continue;
        }
        sscanf(rest, " %63s%n", target, &used);
        int device = target[0] == '*' ? -1 : atoi(target);
        char *tail = rest + used;
        if (!strcmp(word, "set")) {
            char name[64];
            sscanf(tail, " %63s %lf %lf %lf", name, &value, &from, &to);
            settings[n_settings++] = (setting){device, quantity_of(name), value, from, to};
        } else if (!strcmp(word, "fault")) add_fault(device, tail);
        else if (!strcmp(word, "trace")) { sscanf(tail, " %63s", word);
            char where[900]; sscanf(tail, " %899s", where); add_trace(device, where); }
        else if (!strcmp(word, "mig")) {
            int count; sscanf(tail, " %d %lf %lf", &count, &from, &to);
            migs[n_migs++] = (window){device, from, to, count};
        } else if (!strcmp(word, "show")) {
            sscanf(tail, " %lf %lf", &from, &to);
            shows[n_shows++] = (window){device, from, to, 0};
        } else if (!strcmp(word, "energy_reset")) {
            sscanf(tail, " %lf", &from);
            resets[n_resets++] = (window){device, from, to, 0};
        } else if (!strcmp(word, "process")) {
            process p = {device, 0, 0, -FOREVER, FOREVER, ""};
            sscanf(tail, " @%255s", p.file);  /* their numbers stand in a file */
            sscanf(tail, " %u %lf %lf %lf", &p.pid, &value, &p.from, &p.to);
            p.bytes = (uint64_t)value;
            processes[n_processes++] = p;
        } else if (!strcmp(word, "xid")) {
            double code; sscanf(tail, " %lf %lf", &code, &from);
            xids[n_xids++] = (xid){device, (uint64_t)code, from};
        } else { fprintf(stderr, "stub: unknown word %s\n", word); abort(); }
    }
    fclose(file);
    return init_code;
}

static int covers(int scripted, int device, double from, double to, double at) {
    return (scripted == -1 || scripted == device) && from <= at && at < to;
}

static int trace_row(const trace *t, double at) {
    int low = 0, high = t->rows - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (t->at[middle] <= at) low = middle; else high = middle - 1;
    }
    return low;
}

static const setting *in_force(int device, int q, double at) {
    for (int n = n_settings - 1; n >= 0; n--)
        if (settings[n].q == q
            && covers(settings[n].device, device, settings[n].from, settings[n].to, at))
            return &settings[n];
    return NULL;
}

double level(int device, int q, double at) {
    const setting *s = in_force(device, q, at);
    if (s) return s->value;
    const trace *t = &traces[device];
    return t->rows && t->value[q] ? t->value[q][trace_row(t, at)] : idle[q];
}

static double traced_sum(const trace *t, int q, double at) {
    int row = trace_row(t, at);
    return t->sum[q][row] + t->value[q][row] * fmax(0, at - t->at[row]);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double integral(int device, int q, double from, double to) {
    double edges[256], total = 0;
    int n = 0;
    edges[n++] = from; edges[n++] = to;
    for (int k = 0; k < n_settings && n < 254; k++)
        if (settings[k].q == q && (settings[k].device == -1 || settings[k].device == device)) {
            if (settings[k].from > from && settings[k].from < to) edges[n++] = settings[k].from;
            if (settings[k].to > from && settings[k].to < to) edges[n++] = settings[k].to;
        }
    qsort(edges, n, sizeof(double), by_size);
    const trace *t = &traces[device];
    for (int k = 0; k + 1 < n; k++) {
        double middle = (edges[k] + edges[k + 1]) / 2;
        if (!in_force(device, q, middle) && t->rows && t->sum[q])
            total += traced_sum(t, q, edges[k + 1]) - traced_sum(t, q, edges[k]);
        else total += level(device, q, middle) * (edges[k + 1] - edges[k]);
    }
    return total;
}

/* The counter is as coarse as the real one: it moves about every 100 ms. */
uint64_t energy_mj(int device, double at) {
    double fixed = level(device, Q_ENERGY, at), since = 0, base = 1e9 * (device + 1);
    if (fixed >= 0) return (uint64_t)fixed;
    for (int n = 0; n < n_resets; n++)
        if ((resets[n].device == -1 || resets[n].device == device) && resets[n].from <= at) {
            since = fmax(since, resets[n].from); /* 0 at the reset */
            base = 0;
        }
    at = fmax(fmax(since, 0), floor(at * 10) / 10);
    return (uint64_t)(base + integral(device, Q_POWER, since, at));
}

int parts_of(int device, double at) {
    for (int n = 0; n < n_migs; n++)
        if (covers(migs[n].device, device, migs[n].from, migs[n].to, at)) return migs[n].count;
    return 0;
}

int present(int device, double at) {
    int scripted = 0;
    for (int n = 0; n < n_shows; n++) {
        if (covers(shows[n].device, device, shows[n].from, shows[n].to, at)) return 1;
        scripted |= shows[n].device == device;
    }
    return !scripted;
}

int processes_of(int device, double at, unsigned *pids, uint64_t *bytes, int room) {
    int found = 0;
    for (int n = 0; n < n_processes && found < room; n++) {
        process *p = &processes[n];
        if (!covers(p->device, device, p->from, p->to, at)) continue;
        FILE *file = p->file[0] ? fopen(p->file, "r") : NULL;
        if (!p->file[0]) { pids[found] = p->pid; bytes[found++] = p->bytes; }
        while (file && found < room && fscanf(file, "%u", &pids[found]) == 1) bytes[found++] = 0;
        if (file) fclose(file);
    }
    return found;
}

int next_xid(uint64_t mask, double *last, int *device, uint64_t *code) {
    double now = seconds_now();
    int found = -1;
    for (int n = 0; n < n_xids; n++)
        if (xids[n].at > *last && xids[n].at <= now && (mask >> xids[n].device & 1)
            && (found < 0 || xids[n].at < xids[found].at)) found = n;
    if (found < 0) return 0;
    *last = xids[found].at; *device = xids[found].device; *code = xids[found].code;
    return 1;
}

int act(const char *function, int device) {
    double now = seconds_now();
    for (int n = 0; n < n_faults; n++) {
        fault *f = &faults[n];
        if (f->device != -1 && f->device != device) continue;
        if (strcmp(f->function, "*") && strcmp(f->function, function)) continue;
        if (f->last >= 0) { f->seen++; if (f->seen < f->first || f->seen > f->last) continue; }
        if (now < f->from || now >= f->to) continue;
        if (!strcmp(f->action, "code")) return (int)f->amount;
        if (!strcmp(f->action, "delay")) usleep((useconds_t)(f->amount * 1000));
        if (!strcmp(f->action, "hang")) for (;;) pause();
        if (!strcmp(f->action, "segv")) { signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
    }
    return OK;
}
