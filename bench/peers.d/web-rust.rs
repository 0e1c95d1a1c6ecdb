// SPDX-License-Identifier: Apache-2.0
// Rust: axum on tokio, with the paths of the other servers of bench/peers. web-rust PORT
// needs: axum@0.8.4 tokio@1.47.1[full]
use axum::{body::Bytes, routing::get, Router};

#[tokio::main]
async fn main() {
	let mut app = Router::new();
	for (path, size) in [("/1k", 1 << 10), ("/256k", 256 << 10), ("/1m", 1 << 20)] {
		let body = Bytes::from(vec![0u8; size]);
		app = app.route(path, get(move || { let body = body.clone(); async move { body } }));
	}
	let port = std::env::args().nth(1).unwrap();
	axum::serve(tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await.unwrap(), app).await.unwrap();
}
