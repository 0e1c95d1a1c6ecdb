/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter [PORT]: a number that it drew when it began stays in its memory, so that a new start cannot pass for one that goes on. Without PORT it prints
 * that and a count every 20 ms; with it, it answers lines on TCP: "count", "file", "random", "host", "clock", "hold MIB", "sum"; of what it
 * holds it changes a word in each eighth page ("mark N"), makes an eighth zero ("wipe"), gives an eighth back ("drop"), and tells a digest ("digest").
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME "/tmp/kept"

static uint64_t drawn, held_words;
static unsigned count;
static uint64_t *held;

static uint64_t draw(void)
{
	uint64_t word = 0;

	if (getrandom(&word, sizeof(word), 0) != sizeof(word))
		exit(1);
	return word;
}

static void keep(void)
{
	FILE *file = fopen(FILE_NAME, "w");

	if (!file || fprintf(file, "%016" PRIx64, drawn) < 0 || fclose(file))
		exit(2);
}

static void tell_file(char *out, size_t room)
{
	FILE *file = fopen(FILE_NAME, "r");

	if (!file || !fgets(out, (int)room, file))
		snprintf(out, room, "gone");
	if (file)
		fclose(file);
}

/* So many MiB, each word of it another. */
static void hold(size_t mib)
{
	held_words = mib << 17;
	held = malloc(held_words * sizeof(*held));
	for (uint64_t i = 0; held && i < held_words; i++)
		held[i] = drawn + i * 0x9e3779b97f4a7c15ull;
}

static uint64_t wrong(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; held && i < held_words; i++)
		n += held[i] != drawn + i * 0x9e3779b97f4a7c15ull;
	return n;
}

static void mark(uint64_t number)
{
	for (uint64_t i = 0; held && i < held_words; i += 8 * 512)
		held[i] = number;
}

static int drop(void)
{
	const uintptr_t from = ((uintptr_t)(held + held_words / 2) + 4095) & ~4095ul;

	return held ? madvise((void *)from, held_words, MADV_DONTNEED) : -1; /* as many bytes are an eighth */
}

static uint64_t digest(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; held && i < held_words; i++)
		n = (n ^ held[i]) * 0x100000001b3ull;
	return n;
}

static void answer(const char *line, char *out, size_t room)
{
	struct timespec now;

	if (!strncmp(line, "count", 5)) {
		snprintf(out, room, "%016" PRIx64 " %u", drawn, count++);
	} else if (!strncmp(line, "file", 4)) {
		tell_file(out, room);
	} else if (!strncmp(line, "random", 6)) {
		snprintf(out, room, "%016" PRIx64, draw());
	} else if (!strncmp(line, "host", 4)) {
		gethostname(out, room);
	} else if (!strncmp(line, "clock", 5)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		snprintf(out, room, "%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	} else if (!strncmp(line, "hold ", 5)) {
		hold((size_t)atoi(line + 5));
		snprintf(out, room, "held");
	} else if (!strncmp(line, "mark ", 5)) {
		mark((uint64_t)atoi(line + 5));
		snprintf(out, room, "marked");
	} else if (!strncmp(line, "wipe", 4)) {
		memset(held + held_words / 4, 0, held_words);
		snprintf(out, room, "wiped");
	} else if (!strncmp(line, "drop", 4)) {
		snprintf(out, room, "dropped: %d", drop());
	} else if (!strncmp(line, "digest", 6)) {
		snprintf(out, room, "%016" PRIx64, digest());
	} else if (!strncmp(line, "sum", 3)) {
		snprintf(out, room, "%" PRIu64 " of %" PRIu64 " are wrong", wrong(), held_words);
	} else {
		snprintf(out, room, "?");
	}
}

static void serve(int client)
{
	char line[128], out[256];
	FILE *in = fdopen(client, "r");

	while (in && fgets(line, sizeof(line), in)) {
		answer(line, out, sizeof(out) - 1);
		strcat(out, "\n");
		if (write(client, out, strlen(out)) < 0)
			break;
	}
	if (in)
		fclose(in);
}

static void listen_on(uint16_t port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, client;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 8))
		exit(3);
	while ((client = accept(fd, NULL, NULL)) >= 0)
		serve(client);
}

int main(int argc, char **argv)
{
	const struct timespec nap = { .tv_nsec = 20000000 };

	drawn = draw();
	keep();
	if (argc > 1)
		listen_on((uint16_t)atoi(argv[1]));
	for (;;) {
		printf("%016" PRIx64 " %u\n", drawn, count++);
		fflush(stdout);
		nanosleep(&nap, NULL);
	}
}
