/* SPDX-License-Identifier: Apache-2.0 */
#include "node/json_rows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "base/text.h"

/* ---- writing ---- */

json_t *json_text(const char *string)
{
	if (!string)
		return json_null();
	json_t *text = json_string(string);
	if (text)
		return text;
	size_t size = strlen(string);
	char *hex = malloc(2 * size + 1);
	if (!hex)
		return NULL;
	hex_print(string, size, hex);
	json_t *object = json_pack("{s:s}", "hex", hex);
	free(hex);
	return object;
}

static json_t *list_write(const struct strings *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->count; i++)
		if (json_array_append_new(array, json_text(list->item[i]))) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static uint64_t number_at(const struct json_row *row, const void *field)
{
	return row->kind == ROW_U16 ? *(const uint16_t *)field : row->kind == ROW_U32 ? *(const uint32_t *)field : *(const uint64_t *)field;
}

static json_t *row_write(const struct json_row *row, const void *field)
{
	static const uint8_t no_ip6[16];
	char word[INET6_ADDRSTRLEN];
	const uint8_t *mac = field;
	switch (row->kind) {
	case ROW_TEXT: return json_text(*(char *const *)field);
	case ROW_NAME: return json_text(field);
	case ROW_LIST: return list_write(field);
	case ROW_BOOL: return json_boolean(*(const bool *)field);
	case ROW_WORD: return json_string(row->words[*(const unsigned *)field]);
	case ROW_IP: return *(const uint32_t *)field ? json_string(inet_ntop(AF_INET, field, word, sizeof(word))) : json_null();
	case ROW_IP6: return memcmp(field, no_ip6, sizeof(no_ip6)) ? json_string(inet_ntop(AF_INET6, field, word, sizeof(word))) : json_null();
	case ROW_MAC:
		snprintf(word, sizeof(word), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
		return json_string(word);
	default: return json_integer((json_int_t)number_at(row, field));
	}
}

json_t *rows_write(const struct json_row *rows, const void *object)
{
	json_t *json = json_object();
	for (; json && rows->key; rows++)
		if (json_object_set_new(json, rows->key, row_write(rows, (const char *)object + rows->offset))) {
			json_decref(json);
			return NULL;
		}
	return json;
}

/* ---- reading ---- */

struct place { /* for messages: "net.mtu" */
	const char *where, *key;
	struct error *error;
};

static int refuse(const struct place *place, int err, const char *what)
{
	return error_set(place->error, err, "%s%s%s: %s", place->where, *place->where ? "." : "", place->key, what);
}

static int from_hex(const char *hex, char *out)
{
	for (; *hex; hex += 2) {
		char pair[3] = { hex[0], hex[1], 0 }, *end;
		long byte = strtol(pair, &end, 16);
		if (*end || !hex[1] || !byte || strchr(pair, '-') || strchr(pair, '+') || strchr(pair, ' '))
			return -EINVAL;
		*out++ = (char)byte;
	}
	*out = 0;
	return 0;
}

/* A new string, or NULL with *err. */
static char *text_read(const json_t *json, const struct place *place, int *err)
{
	const char *hex = json_string_value(json_object_get(json, "hex"));
	char *text = NULL;
	if (json_is_string(json)) {
		text = strdup(json_string_value(json));
	} else if (hex && json_object_size(json) == 1) {
		text = malloc(strlen(hex) / 2 + 1);
		if (text && from_hex(hex, text)) {
			free(text);
			*err = refuse(place, -EINVAL, "not hexadecimal digits of bytes that are not zero");
			return NULL;
		}
	} else {
		*err = refuse(place, -EINVAL, "not a text");
		return NULL;
	}
	*err = text ? 0 : refuse(place, -ENOMEM, "out of memory");
	return text;
}

static int name_read(char *field, size_t room, const json_t *json, const struct place *place)
{
	int err;
	char *text = text_read(json, place, &err);
	if (text && strlen(text) >= room)
		err = refuse(place, -ERANGE, "too long");
	if (!err)
		strncpy(field, text, room);
	free(text);
	return err;
}

static int list_read(struct strings *list, const json_t *json, const struct place *place)
{
	int err = 0;
	if (!json_is_array(json))
		return refuse(place, -EINVAL, "not a list");
	strings_free(list);
	for (size_t i = 0; i < json_array_size(json) && !err; i++) {
		char *text = text_read(json_array_get(json, i), place, &err);
		if (text)
			strings_take(list, text);
	}
	if (!err && strings_error(list))
		err = refuse(place, -ENOMEM, "out of memory");
	return err;
}

static int number_read(const struct json_row *row, void *field, const json_t *json, const struct place *place)
{
	static const uint64_t most[] = { [ROW_U16] = UINT16_MAX, [ROW_U32] = UINT32_MAX, [ROW_U64] = INT64_MAX };
	char message[96];
	if (!json_is_integer(json))
		return refuse(place, -EINVAL, "not a whole number");
	json_int_t number = json_integer_value(json);
	uint64_t high = row->high ? row->high : most[row->kind];
	if (number < 0 || (uint64_t)number < row->low || (uint64_t)number > high) {
		snprintf(message, sizeof(message), "%lld is not between %llu and %llu", (long long)number, (unsigned long long)row->low, (unsigned long long)high);
		return refuse(place, -ERANGE, message);
	}
	if (row->kind == ROW_U16)
		*(uint16_t *)field = (uint16_t)number;
	else if (row->kind == ROW_U32)
		*(uint32_t *)field = (uint32_t)number;
	else
		*(uint64_t *)field = (uint64_t)number;
	return 0;
}

static int word_read(const struct json_row *row, unsigned *field, const json_t *json, const struct place *place)
{
	const char *word = json_string_value(json);
	for (unsigned i = 0; word && row->words[i]; i++)
		if (!strcmp(row->words[i], word)) {
			*field = i;
			return 0;
		}
	return refuse(place, -EINVAL, "none of its words");
}

static int address_read(const struct json_row *row, void *field, const json_t *json, const struct place *place)
{
	const char *word = json_string_value(json);
	if (row->kind == ROW_MAC)
		return word && !mac_parse(word, field) ? 0 : refuse(place, -EINVAL, "not a MAC address of one host");
	if (json_is_null(json)) {
		memset(field, 0, row->kind == ROW_IP6 ? 16 : sizeof(uint32_t));
		return 0;
	}
	if (row->kind == ROW_IP6)
		return word && inet_pton(AF_INET6, word, field) == 1 ? 0 : refuse(place, -EINVAL, "not an IPv6 address");
	return word && !ip_parse(word, field) ? 0 : refuse(place, -EINVAL, "not an IPv4 address");
}

static int pointer_read(char **field, const json_t *json, const struct place *place)
{
	int err = 0;
	char *text = json_is_null(json) ? NULL : text_read(json, place, &err);
	if (err)
		return err;
	free(*field);
	*field = text;
	return 0;
}

static int row_read(const struct json_row *row, void *field, const json_t *json, const struct place *place)
{
	switch (row->kind) {
	case ROW_TEXT: return pointer_read(field, json, place);
	case ROW_NAME: return name_read(field, row->high, json, place);
	case ROW_LIST: return list_read(field, json, place);
	case ROW_WORD: return word_read(row, field, json, place);
	case ROW_IP:
	case ROW_IP6:
	case ROW_MAC: return address_read(row, field, json, place);
	case ROW_BOOL:
		if (!json_is_boolean(json))
			return refuse(place, -EINVAL, "neither true nor false");
		*(bool *)field = json_is_true(json);
		return 0;
	default: return number_read(row, field, json, place);
	}
}

static const struct json_row *row_find(const struct json_row *rows, const char *key)
{
	for (; rows->key; rows++)
		if (!strcmp(rows->key, key))
			return rows;
	return NULL;
}

static bool is_among(const char *const *words, const char *word)
{
	for (; words && *words; words++)
		if (!strcmp(*words, word))
			return true;
	return false;
}

int rows_read(const struct json_row *rows, const char *const *more, void *object, const json_t *json, const char *where, struct error *error)
{
	const char *key;
	json_t *value;
	if (!json_is_object(json))
		return error_set(error, -EINVAL, "%s: not an object", *where ? where : "the configuration");
	json_object_foreach((json_t *)json, key, value) {
		const struct json_row *row = row_find(rows, key);
		struct place place = { where, key, error };
		if (!row && !is_among(more, key))
			return refuse(&place, -EINVAL, "there is no such key");
		int err = row ? row_read(row, (char *)object + row->offset, value, &place) : 0;
		if (err)
			return err;
	}
	return 0;
}
