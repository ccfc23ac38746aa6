# Times cv.glmnet on the data that survival_speed.py wrote; arguments: folder, n, own|given.
suppressMessages({library(glmnet); library(survival)})
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]; n <- arguments[2]; own <- arguments[3] == "own"
x <- as.matrix(read.csv(file.path(folder, sprintf("x_%s.csv", n)), header = FALSE))
y <- as.matrix(read.csv(file.path(folder, sprintf("y_%s.csv", n)), header = FALSE))
outcome <- Surv(y[, 1], y[, 2])
foldid <- y[, 3] + 1
lambda <- if (own) NULL else scan(file.path(folder, sprintf("lambda_%s.csv", n)), quiet = TRUE)
seconds <- system.time(cv <- cv.glmnet(x, outcome, family = "cox", foldid = foldid, lambda = lambda))[3]
write.table(as.matrix(coef(cv$glmnet.fit)), file.path(folder, sprintf("coef_%s.csv", n)), sep = ",", row.names = FALSE, col.names = FALSE)
cat(seconds, length(cv$lambda), cv$lambda.min, "\n")
