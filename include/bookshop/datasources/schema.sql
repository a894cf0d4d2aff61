-- The catalogue of the bookshop: invented titles by invented authors.
SET NAMES utf8mb4;

CREATE TABLE author (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(100) NOT NULL,
    KEY author_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE book (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    title VARCHAR(200) NOT NULL,
    author_id INT UNSIGNED NOT NULL,
    published SMALLINT UNSIGNED NOT NULL,
    price DECIMAL(6, 2) NOT NULL COMMENT 'euros',
    KEY book_title (title),
    KEY book_price (price),
    CONSTRAINT book_author FOREIGN KEY (author_id) REFERENCES author (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

