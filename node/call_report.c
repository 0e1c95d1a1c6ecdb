/* SPDX-License-Identifier: Apache-2.0 */
#include "node/call_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/shown.h"
#include "node/record.h"

#define OFTEN 64     /* traps from which on the library OS tells what file a site is in, and it matters */
#define SITES_TOLD 5 /* in text */

static int by_count(const void *a, const void *b)
{
	const struct lv_call_site *first = a, *second = b;
	return (first->count < second->count) - (first->count > second->count);
}

/* Answers how many there are. */
static unsigned sorted(const struct lv_calls *calls, struct lv_call_site site[LV_CALL_SITES])
{
	unsigned n = 0;
	memcpy(site, calls->site, sizeof(calls->site));
	qsort(site, LV_CALL_SITES, sizeof(*site), by_count);
	while (n < LV_CALL_SITES && site[n].count)
		n++;
	return n;
}

static void put_site(const struct lv_call_site *site, const struct symbols *symbols, struct text *out)
{
	char name[16];
	text_format(out, "%s at ", syscall_name(site->nr, name, sizeof(name)));
	symbols_put(symbols, site->rip - 1, out);
}

static json_t *site_json(const struct lv_call_site *site, const struct symbols *symbols)
{
	char name[16], address[20];
	struct text where = { 0 };
	snprintf(address, sizeof(address), "0x%" PRIx64, site->rip);
	json_t *object = json_pack("{s:s, s:I, s:I, s:s}", "name", syscall_name(site->nr, name, sizeof(name)), "number", (json_int_t)site->nr, "count",
				   (json_int_t)site->count, "address", address);
	if (site->count >= OFTEN)
		symbols_put(symbols, site->rip - 1, &where);
	if (where.size)
		json_object_set_new(object, "where", json_field(where.data, where.size));
	text_free(&where);
	return object;
}

json_t *call_report_json(const struct lv_status *status, const struct lv_calls_report *calls, const char *image)
{
	struct lv_call_site site[LV_CALL_SITES];
	unsigned n = sorted(&calls->calls, site);
	struct symbols symbols;
	json_t *array = json_array();
	symbols_open(&symbols, status, calls->map, calls->maps, n && site[0].count >= OFTEN ? image : NULL);
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(array, site_json(&site[i], &symbols));
	symbols_close(&symbols);
	return json_pack("{s:I, s:I, s:I, s:o}", "made", (json_int_t)calls->calls.made, "trapped", (json_int_t)calls->calls.trapped, "most_in_a_second",
			 (json_int_t)calls->calls.most, "sites", array);
}

void call_report_put(const struct lv_calls_report *calls, const struct symbols *symbols, struct text *out)
{
	struct lv_call_site site[LV_CALL_SITES];
	unsigned n = sorted(&calls->calls, site);
	if (!n || site[0].count < OFTEN)
		return;
	text_format(out, "system calls: %" PRIu64 ", of which %" PRIu64 " trapped, up to %" PRIu32 " in a second\n", calls->calls.made, calls->calls.trapped,
		    calls->calls.most);
	for (unsigned i = 0; i < n && i < SITES_TOLD && site[i].count >= OFTEN; i++) {
		text_format(out, "  %10" PRIu32 "  ", site[i].count);
		put_site(&site[i], symbols, out);
		text_put(out, "\n");
	}
}

void call_report_warn(const struct lv_status *status, const struct lv_calls_report *calls, const char *image, struct text *out)
{
	struct lv_call_site site[LV_CALL_SITES];
	struct symbols symbols;
	size_t start = out->size;
	if (status->kvm != LV_KVM_PAGE_TABLE || calls->calls.most <= CALLS_DEAR || !sorted(&calls->calls, site))
		return;
	symbols_open(&symbols, status, calls->map, calls->maps, image);
	text_format(out, "%" PRIu64 " of %" PRIu64 " system calls trapped, up to %" PRIu32 " in a second, which is slow on this kind of KVM; most often ",
		    calls->calls.trapped, calls->calls.made, calls->calls.most);
	put_site(&site[0], &symbols, out);
	symbols_close(&symbols);
	shown_from(out, start, 0);
}
