/* SPDX-License-Identifier: Apache-2.0 */
/* Floating-point and vector state: kept across system calls, thread switches, preemption and signals; control words too. */
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "check.h"

static atomic_int signals;

/* Loads all vector registers with a pattern, computes for a while, and looks whether they still hold it. */
__attribute__((target("avx"))) static bool keep_avx(unsigned char seed, int rounds, bool yield)
{
	unsigned char in[32], out[32];
	bool good = true;

	for (int i = 0; i < 32; i++)
		in[i] = (unsigned char)(seed + i * 3);
	for (int round = 0; round < rounds; round++) {
		__asm__ volatile("vmovdqu %0, %%ymm5; vmovdqa %%ymm5, %%ymm14" : : "m"(in) : "xmm5", "xmm14");
		if (yield)
			__asm__ volatile("syscall" : : "a"(24) : "rcx", "r11", "memory"); /* sched_yield */
		else
			for (volatile int i = 0; i < 20000;)
				__asm__ volatile("incl %0" : "+m"(i));
		__asm__ volatile("vpxor %%xmm1, %%xmm1, %%xmm1; vmovdqu %%ymm14, %0" : "=m"(out) : : "xmm1");
		good &= !memcmp(in, out, 32);
	}
	return good;
}

static bool keep_sse(unsigned char seed, int rounds, bool yield)
{
	unsigned char in[16], out[16];
	bool good = true;

	memset(in, seed, sizeof(in));
	for (int round = 0; round < rounds; round++) {
		__asm__ volatile("movdqu %0, %%xmm11" : : "m"(in) : "xmm11");
		if (yield)
			__asm__ volatile("syscall" : : "a"(24) : "rcx", "r11", "memory");
		else
			for (volatile int i = 0; i < 20000;)
				__asm__ volatile("incl %0" : "+m"(i));
		__asm__ volatile("movdqu %%xmm11, %0" : "=m"(out));
		good &= !memcmp(in, out, 16);
	}
	return good;
}

static bool keep(unsigned char seed, int rounds, bool yield)
{
	return __builtin_cpu_supports("avx") ? keep_avx(seed, rounds, yield) : keep_sse(seed, rounds, yield);
}

static void *work(void *number)
{
	long n = (long)number;
	double x = (double)n;
	bool good = true;

	for (int i = 0; i < 10; i++)
		good &= keep((unsigned char)(n * 40), 20, n % 2) && keep((unsigned char)(n * 7), 50, true);
	for (int i = 0; i < 20000; i++)
		x = sqrt(x * x + 1.0) - 0.25 / (x + 1.0);
	return (void *)(long)(good && isfinite(x));
}

static void check_threads(void)
{
	pthread_t thread[6];
	void *good;
	long all = 0;

	for (long i = 0; i < 6; i++)
		pthread_create(&thread[i], NULL, work, (void *)(i + 1));
	for (int i = 0; i < 6; i++) {
		pthread_join(thread[i], &good);
		all += (long)good;
	}
	IS(all, 6);
}

static volatile double spoiled;

static void on_alarm(int signo)
{
	double x = signo;

	for (int i = 0; i < 50; i++)
		x = sin(x) * 3.5 + (double)i;
	spoiled = x;
	keep(0xee, 1, false);
	signals++;
}

static void check_signals(void)
{
	struct itimerval every = {{0, 3000}, {0, 3000}}, off = {0};
	int64_t start = now_ms();
	bool good = true;
	double sum = 0;
	int loops = 0;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	while (signals < 8 && now_ms() - start < 10000) {
		double x = 1;

		good &= keep(0x11, 10, false);
		for (int i = 0; i < 1000; i++)
			x += 1.0 / (x + i);
		if (!loops++)
			sum = x;
		good &= x == sum;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(good && signals >= 8);
}

static void *rounding_thread(void *unused)
{
	bool good = fegetround() == FE_UPWARD; /* inherited from the creator */

	fesetround(FE_DOWNWARD);
	for (int i = 0; i < 100; i++) {
		sched_yield();
		good &= fegetround() == FE_DOWNWARD;
	}
	(void)unused;
	return (void *)(long)good;
}

static void check_control(void)
{
	pthread_t thread;
	bool good = true;
	void *result;

	CHECK((_mm_getcsr() & ~0x3fu) == 0x1f80);
	CHECK(fegetround() == FE_TONEAREST);
	fesetround(FE_UPWARD);
	pthread_create(&thread, NULL, rounding_thread, NULL);
	for (int i = 0; i < 100; i++) {
		sched_yield();
		good &= fegetround() == FE_UPWARD;
	}
	pthread_join(thread, &result);
	CHECK(good && result);
	fesetround(FE_TONEAREST);
}

static void on_fpe(int signo, siginfo_t *info, void *context)
{
	(void)context;
	printf("signal %d code %d\n", signo, info->si_code);
	printf(check_failures ? "failed\n" : "all good\n");
	fflush(stdout);
	_exit(check_failures ? 1 : 0);
}

/* An unmasked SIMD exception is a SIGFPE with its own code. Comes last: the handler ends the program. */
static void check_simd_exception(void)
{
	struct sigaction action = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
	volatile double zero = 0, one = 1;

	sigaction(SIGFPE, &action, NULL);
	feenableexcept(FE_DIVBYZERO);
	one = one / zero;
	printf("FAIL no signal, result %f\n", one);
}

int main(void)
{
	volatile long double x = 2.0L;

	printf("%.10f %.6e %.15Lf\n", sin(1.0), exp(20.5), sqrtl(x));
	check_threads();
	check_signals();
	check_control();
	check_simd_exception();
	return 1;
}
