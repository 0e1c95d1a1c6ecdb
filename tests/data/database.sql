-- SPDX-License-Identifier: Apache-2.0
PRAGMA journal_mode = DELETE;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL, category INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO item SELECT i, 'item ' || i, (i * 7919 % 10007) / 100.0, i % 37 FROM n;
COMMIT;
CREATE INDEX by_category ON item (category, price);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT category, count(*), round(avg(price), 4) FROM item GROUP BY category ORDER BY 3 DESC LIMIT 5;
UPDATE item SET price = price * 1.1 WHERE category = 3;
DELETE FROM item WHERE id % 10 = 0;
BEGIN; DELETE FROM item; ROLLBACK;
SELECT count(*), round(sum(price), 3) FROM item;
SELECT a.id, b.id FROM item a JOIN item b ON a.price = b.price AND a.category = b.category AND a.id < b.id ORDER BY 1, 2 LIMIT 5;
VACUUM;
PRAGMA integrity_check;
PRAGMA page_count;
CREATE VIRTUAL TABLE words USING fts5(text);
INSERT INTO words SELECT name FROM item WHERE id < 500;
SELECT count(*) FROM words WHERE words MATCH 'item';
